// add_noise_ on the CPU: a normal random number times the layer's scale to every active element.
//
// 1. Spread the mask bits of 1024 elements over the elements of each unit.
// 2. List the groups of four elements that have an active one: they share the words that Philox
//    draws at one index.
// 3. Draw for the whole list, one round after the other, and turn the words into normal numbers.
// 4. Add them where the bit is set.
//
// Moves: one bit a unit, and each word of 32 elements with an active one once in and once out; the
// rest is arithmetic. Every element is written by one thread, and its noise depends on its number
// alone: any thread count gives the same result.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/layout.h"
#include "common/normal.h"
#include "common/philox.h"
#include "common/rounding.h"
#include "common/select.h"
#include "cpu/key_bits.h"
#include "cpu/launchers.h"
#include "cpu/team.h"
#include "cpu/unit_keys.h"

namespace dsr::cpu {
namespace {

constexpr int kGroup = 4;  // elements that share one Philox counter
constexpr int kBlockElements = kBlockWords * kWordBits;
constexpr int kBlockGroups = kBlockElements / kGroup;
constexpr int64_t kStretchElements = 1 << 14;  // a multiple of kBlockElements
// Waking a second thread costs about as much as this many elements.
constexpr int64_t kMinNoisePerThread = 1 << 13;

// Elements [begin, end) of one tensor.
struct Stretch {
  const Buffer* tensor;
  LayerShape shape;
  const uint32_t* words;
  RandomStream stream;
  float scale;
  int64_t begin;
  int64_t end;
};

// The groups of a block that have an active element, and the words drawn for them.
struct ActiveGroups {
  int count = 0;
  int32_t number[kBlockGroups];
  uint32_t words[kGroup][kBlockGroups];
};

// One bit an element, of elements [begin, begin + count).
void spread_bits(const Stretch& stretch, int64_t begin, int count, uint32_t* bits) {
  if (stretch.shape.unit_size == 1) {
    const uint32_t* words = stretch.words + begin / kWordBits;
    for (int w = 0; w * kWordBits < count; ++w) bits[w] = words[w] & unit_bits(w, count);
    return;
  }
  std::fill_n(bits, kBlockWords, 0u);
  for (int j = 0; j < count; ++j) {
    const int64_t unit = unit_of(begin + j, stretch.shape);
    bits[j / kWordBits] |= static_cast<uint32_t>(is_active(stretch.words, unit)) << j % kWordBits;
  }
}

void list_groups(const uint32_t* bits, int count, ActiveGroups& groups) {
  groups.count = 0;
  for (int w = 0; w * kWordBits < count; ++w) {
    if (bits[w] == 0) continue;
    for (int g = 0; g < kWordBits / kGroup; ++g) {  // without a branch: hard to predict
      groups.number[groups.count] = w * (kWordBits / kGroup) + g;
      groups.count += (bits[w] >> (g * kGroup) & 0xFu) != 0;
    }
  }
}

// random_words() of every listed group, all of them through one round before the next.
DSR_CLONES void draw_words(const RandomStream& stream, int64_t first, ActiveGroups& groups) {
  uint32_t* c0 = groups.words[0];
  uint32_t* c1 = groups.words[1];
  uint32_t* c2 = groups.words[2];
  uint32_t* c3 = groups.words[3];
  const int count = groups.count;
  for (int n = 0; n < count; ++n) {
    const uint64_t index = static_cast<uint64_t>(first + groups.number[n]);
    c0[n] = static_cast<uint32_t>(index);
    c1[n] = static_cast<uint32_t>(index >> 32) | stream.purpose << 16;
    c2[n] = stream.layer;
    c3[n] = stream.reallocation;
  }
  uint32_t key0 = static_cast<uint32_t>(stream.seed);
  uint32_t key1 = static_cast<uint32_t>(stream.seed >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
#pragma omp simd
    for (int n = 0; n < count; ++n) {
      const PhiloxWords next = philox_round({{c0[n], c1[n], c2[n], c3[n]}}, key0, key1);
      c0[n] = next.word[0];
      c1[n] = next.word[1];
      c2[n] = next.word[2];
      c3[n] = next.word[3];
    }
    key0 += kPhiloxWeyl0;
    key1 += kPhiloxWeyl1;
  }
}

// Fills in the noise of the listed groups' elements.
DSR_CLONES void make_noise(float scale, const ActiveGroups& groups, float* noise) {
  float scaled[kBlockGroups];
  for (int lane = 0; lane < kGroup; ++lane) {
    for (int n = 0; n < groups.count; ++n) {
      scaled[n] = scale * standard_normal(groups.words[lane][n]);
    }
    for (int n = 0; n < groups.count; ++n) {
      noise[groups.number[n] * kGroup + lane] = scaled[n];
    }
  }
}

template <typename Type>
DSR_ALWAYS_INLINE void add_word(typename Type::Stored* elements, const float* noise,
                                uint32_t bits) {
#pragma omp simd
  for (int j = 0; j < kWordBits; ++j) {
    const float sum = value_of<Type>(elements[j]) + noise[j];
    const bool changes = (bits & kBit[j]) != 0 && sum == sum;
    elements[j] = changes ? rounded_to(Type{}, sum) : elements[j];
  }
}

template <typename Type>
DSR_ALWAYS_INLINE void add_words(const uint32_t* bits, const float* noise, int count,
                                 typename Type::Stored* elements) {
  using Stored = typename Type::Stored;
  int first = 0;
  for (; first + kWordBits <= count; first += kWordBits) {
    const uint32_t word = bits[first / kWordBits];
    if (word != 0) add_word<Type>(elements + first, noise + first, word);
  }
  if (first == count) return;
  Stored last[kWordBits] = {};
  std::copy(elements + first, elements + count, last);
  add_word<Type>(last, noise + first, bits[first / kWordBits]);
  std::copy_n(last, count - first, elements + first);
}

DSR_CLONES void add_block(const Buffer& tensor, int64_t begin, int count, const uint32_t* bits,
                          const float* noise) {
  switch (tensor.dtype) {
    case DType::kFloat32:
      return add_words<Float32>(bits, noise, count, tensor.as<uint32_t>() + begin);
    case DType::kBFloat16:
      return add_words<BFloat16>(bits, noise, count, tensor.as<uint16_t>() + begin);
    default:
      return add_words<Float16>(bits, noise, count, tensor.as<uint16_t>() + begin);
  }
}

void add_stretch(const Stretch& stretch) {
  ActiveGroups groups;
  uint32_t bits[kBlockWords];
  float noise[kBlockElements] = {};  // of an element without a bit: anything
  for (int64_t begin = stretch.begin; begin < stretch.end; begin += kBlockElements) {
    const int count = static_cast<int>(std::min<int64_t>(kBlockElements, stretch.end - begin));
    spread_bits(stretch, begin, count, bits);
    list_groups(bits, count, groups);
    if (groups.count == 0) continue;
    draw_words(stretch.stream, begin / kGroup, groups);
    make_noise(stretch.scale, groups, noise);
    add_block(*stretch.tensor, begin, count, bits, noise);
  }
}

}  // namespace

void add_noise(const std::vector<Buffer>& tensors, const std::vector<int64_t>& layers,
               const Buffer& words, const Buffer& table, const Buffer& scale, int64_t seed,
               const Buffer& counter, int64_t purpose, int threads) {
  std::vector<Stretch> stretches;
  RandomStream stream = {};
  stream.seed = static_cast<uint64_t>(seed);
  stream.purpose = static_cast<uint32_t>(purpose);
  stream.reallocation = static_cast<uint32_t>(counter.as<int64_t>()[0]);
  int64_t elements = 0;
  for (size_t t = 0; t < tensors.size(); ++t) {
    const LayerShape shape = read_layer(table.as<int64_t>(), layers[t]);
    const int64_t size = shape.elements();
    stream.layer = static_cast<uint32_t>(layers[t]);
    require_key_dtype(tensors[t].dtype);
    for (int64_t begin = 0; begin < size; begin += kStretchElements) {
      stretches.push_back({&tensors[t], shape, words.as<uint32_t>() + shape.word_offset, stream,
                           scale.as<float>()[layers[t]], begin,
                           std::min(size, begin + kStretchElements)});
    }
    elements += size;
  }
  const int64_t count = static_cast<int64_t>(stretches.size());
  const int team = team_size(elements, kMinNoisePerThread, threads);
#pragma omp parallel for schedule(dynamic) num_threads(team) if (team > 1)
  for (int64_t c = 0; c < count; ++c) add_stretch(stretches[c]);
}

}  // namespace dsr::cpu
