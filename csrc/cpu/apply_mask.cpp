// apply_mask_ on the CPU: +0.0 to every element of an inactive unit, in place or in a copy.
//
// Moves: one bit a unit, and at most each element once in and once out. Works on raw bits, so that
// NaN and inf become +0.0 as well. Every element is written by one thread: any thread count gives
// the same result.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "common/bits.h"
#include "common/layout.h"
#include "cpu/launchers.h"
#include "cpu/mask_chunks.h"
#include "cpu/team.h"

namespace dsr::cpu {
namespace {

// The words [begin, end), each with 32 elements of its own.
template <typename T>
DSR_ALWAYS_INLINE void mask_words(const T* from, T* to, const uint32_t* words, int64_t begin,
                                  int64_t end) {
  // A lookup of bit values, not a shift by j: baseline x86-64 has no variable vector shift.
  static constexpr T kBit[16] = {0x1,   0x2,   0x4,   0x8,   0x10,   0x20,   0x40,   0x80,
                                 0x100, 0x200, 0x400, 0x800, 0x1000, 0x2000, 0x4000, 0x8000};
  for (int64_t w = begin; w < end; ++w) {
    if (words[w] == kAllActive && from == to) continue;
    for (int half = 0; half < 2; ++half) {
      const T bits = static_cast<T>((words[w] >> (16 * half)) & 0xFFFFu);
      const T* in = from + w * kWordBits + 16 * half;
      T* out = to + w * kWordBits + 16 * half;
#pragma omp simd
      for (int j = 0; j < 16; ++j) {
        const T value = in[j];  // read whether or not it is kept, or the loop would branch
        out[j] = (bits & kBit[j]) == kBit[j] ? value : T{0};
      }
    }
  }
}

DSR_CLONES void mask_whole_words(const uint16_t* from, uint16_t* to, const uint32_t* words,
                                 int64_t begin, int64_t end) {
  mask_words(from, to, words, begin, end);
}

DSR_CLONES void mask_whole_words(const uint32_t* from, uint32_t* to, const uint32_t* words,
                                 int64_t begin, int64_t end) {
  mask_words(from, to, words, begin, end);
}

DSR_CLONES void mask_whole_words(const uint64_t* from, uint64_t* to, const uint32_t* words,
                                 int64_t begin, int64_t end) {
  mask_words(from, to, words, begin, end);
}

template <typename T>
void keep(const T* from, T* to, int64_t count) {
  if (from != to) std::copy_n(from, count, to);
}

template <typename T>
void mask_elements(const MaskChunk& chunk, const T* from, T* to) {
  const int64_t units = chunk.shape.units();
  const int64_t whole = std::min(chunk.end, units / kWordBits);
  mask_whole_words(from, to, chunk.words, chunk.begin, whole);
  for (int64_t unit = whole * kWordBits; whole < chunk.end && unit < units; ++unit) {
    to[unit] = is_active(chunk.words, unit) ? from[unit] : T{0};
  }
}

template <typename T>
void mask_contiguous_units(const MaskChunk& chunk, const T* from, T* to) {
  const int64_t unit_size = chunk.shape.unit_size;
  for (int64_t unit = chunk.begin; unit < chunk.end; ++unit) {
    if (is_active(chunk.words, unit)) {
      keep(from + unit * unit_size, to + unit * unit_size, unit_size);
    } else {
      std::fill_n(to + unit * unit_size, unit_size, T{0});
    }
  }
}

template <typename T>
void mask_strided_units(const MaskChunk& chunk, const T* from, T* to) {
  const int64_t inner = chunk.shape.inner;
  for (int64_t o = chunk.begin; o < chunk.end; ++o) {
    for (int64_t u = 0; u < chunk.shape.unit_size; ++u) {
      const int64_t row = (o * chunk.shape.unit_size + u) * inner;
      for (int64_t i = 0; i < inner; ++i) {
        to[row + i] = is_active(chunk.words, o * inner + i) ? from[row + i] : T{0};
      }
    }
  }
}

template <typename T>
void mask_rows(const MaskChunk& chunk) {
  const T* from = chunk.source->as<const T>();
  T* to = chunk.target->as<T>();
  if (chunk.shape.unit_size == 1) {
    mask_elements(chunk, from, to);
  } else if (chunk.shape.inner == 1) {
    mask_contiguous_units(chunk, from, to);
  } else {
    mask_strided_units(chunk, from, to);
  }
}

void mask_chunk(const MaskChunk& chunk) {
  switch (element_bytes(chunk.target->dtype)) {
    case 2:
      mask_rows<uint16_t>(chunk);
      break;
    case 4:
      mask_rows<uint32_t>(chunk);
      break;
    default:
      mask_rows<uint64_t>(chunk);
  }
}

}  // namespace

void apply_mask(const std::vector<Buffer>& tensors, const std::vector<int64_t>& layers,
                const Buffer& words, const Buffer& table, int threads) {
  run_chunks(divide_tensors(tensors, layers, words, table), threads, mask_chunk);
}

void masked_copy(const Buffer& source, const Buffer& words, const std::vector<int64_t>& units,
                 const Buffer& target, int threads) {
  MaskWork work;
  const LayerShape shape{units.at(0), units.at(1), units.at(2), 0, 0};
  work.add(source, target, shape, words.as<uint32_t>());
  run_chunks(work, threads, mask_chunk);
}

}  // namespace dsr::cpu
