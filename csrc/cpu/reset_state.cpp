// reset_state_ on the CPU: +0.0 to every element of a unit in which two masks differ.
//
// Moves: two bits a unit of each tensor, and the changed elements once out; nothing else is
// touched. Every element is written by one thread: any thread count gives the same result.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/layout.h"
#include "common/select.h"
#include "cpu/launchers.h"
#include "cpu/team.h"
#include "cpu/zero_unit.h"

namespace dsr::cpu {
namespace {

constexpr int64_t kStretchWords = 1 << 10;
// Waking a second thread costs about as much as this many mask words.
constexpr int64_t kMinWordsPerThread = 1 << 12;

// Words [begin, end) of one tensor's layer.
struct Stretch {
  const Buffer* tensor;
  LayerShape shape;
  int64_t begin;
  int64_t end;
};

inline int lowest_bit_of_pair(uint64_t bits) {
#if defined(__GNUC__)
  return __builtin_ctzll(bits);
#else
  const uint32_t low = static_cast<uint32_t>(bits);
  return low != 0 ? lowest_bit(low) : kWordBits + lowest_bit(static_cast<uint32_t>(bits >> 32));
#endif
}

// Words [begin, end) of a layer of single elements. Where the bits have changed cannot be
// predicted: two words at a time halve the wrong guesses, which cost more than the stores.
template <typename T>
void reset_pairs(T* data, int64_t begin, int64_t end, const uint32_t* words,
                 const uint32_t* previous) {
  for (int64_t w = begin; w < end; w += 2) {
    const uint64_t high = words[w + 1] ^ previous[w + 1];
    T* first = data + w * kWordBits;
    for (uint64_t changed = high << 32 | (words[w] ^ previous[w]); changed != 0;
         changed &= changed - 1) {
      first[lowest_bit_of_pair(changed)] = 0;
    }
  }
}

template <typename T>
void reset_stretch(const Stretch& stretch, const uint32_t* words, const uint32_t* previous) {
  T* data = stretch.tensor->as<T>();
  const LayerShape shape = stretch.shape;
  const int64_t units = shape.units();
  int64_t begin = stretch.begin;
  if (shape.unit_size == 1) {
    begin = std::min(stretch.end, units / kWordBits) & ~int64_t{1};  // of words without padding
    reset_pairs(data, stretch.begin, begin, words, previous);
  }
  for (int64_t w = begin; w < stretch.end; ++w) {
    uint32_t changed = (words[w] ^ previous[w]) & unit_bits(w, units);
    for (; changed != 0; changed &= changed - 1) {
      zero_unit(data, shape, w * kWordBits + lowest_bit(changed));
    }
  }
}

}  // namespace

void reset_state(const std::vector<Buffer>& states, const std::vector<int64_t>& layers,
                 const Buffer& words, const Buffer& previous, const Buffer& table, int threads) {
  std::vector<Stretch> stretches;
  for (size_t t = 0; t < states.size(); ++t) {
    const LayerShape shape = read_layer(table.as<int64_t>(), layers[t]);
    element_bytes(states[t].dtype);  // refuses an unknown dtype before anything is written
    const int64_t end = words_for(shape.units());
    for (int64_t begin = 0; begin < end; begin += kStretchWords) {
      stretches.push_back({&states[t], shape, begin, std::min(end, begin + kStretchWords)});
    }
  }
  const int64_t count = static_cast<int64_t>(stretches.size());
  const int team = team_size(count * kStretchWords, kMinWordsPerThread, threads);
#pragma omp parallel for schedule(static) num_threads(team) if (team > 1)
  for (int64_t c = 0; c < count; ++c) {
    const Stretch& stretch = stretches[c];
    const uint32_t* now = words.as<uint32_t>() + stretch.shape.word_offset;
    const uint32_t* before = previous.as<uint32_t>() + stretch.shape.word_offset;
    switch (element_bytes(stretch.tensor->dtype)) {
      case 2:
        reset_stretch<uint16_t>(stretch, now, before);
        break;
      case 4:
        reset_stretch<uint32_t>(stretch, now, before);
        break;
      default:
        reset_stretch<uint64_t>(stretch, now, before);
    }
  }
}

}  // namespace dsr::cpu
