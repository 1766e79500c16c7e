// mask_and_count_ on the CPU: +0.0 to every element of an inactive unit, in place, and how many of
// the others are NaN or Inf.
//
// Moves: one bit a unit, and each element once in. After most steps of an optimizer there is
// nothing to zero, since gradients and momentum are masked: so a block is looked at first, and
// written only where an inactive element is not +0.0. Works on raw bits. Every element is written
// by one thread and counts are integers: any thread count gives the same result.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/bits.h"
#include "common/layout.h"
#include "cpu/launchers.h"
#include "cpu/mask_chunks.h"
#include "cpu/team.h"

namespace dsr::cpu {
namespace {

constexpr int64_t kBlockWords = 16;
constexpr int kVectorBytes = 32;

// As many elements as a vector register holds. Compilers split it where registers are smaller.
template <typename T>
struct Lanes {
  typedef T Vector __attribute__((vector_size(kVectorBytes)));
  static constexpr int kCount = kVectorBytes / sizeof(T);
  static constexpr int kPerWord = kWordBits / kCount;

  Vector bit;  // lane j: 1 << j

  DSR_ALWAYS_INLINE Lanes() {
    for (int j = 0; j < kCount; ++j) bit[j] = static_cast<T>(T{1} << j);
  }

  // Zeroes the lanes of inactive units; `part` is the vector's number in its word.
  DSR_ALWAYS_INLINE void keep_active(Vector& values, uint32_t word, int part) const {
    const T own = static_cast<T>(word >> (part * kCount));
    const Vector bits = Vector{} + own;
    values &= reinterpret_cast<Vector>((bits & bit) == bit);
  }

  static DSR_ALWAYS_INLINE bool any(const Vector& lanes) {
    T found = 0;
    for (int j = 0; j < kCount; ++j) found |= lanes[j];
    return found != 0;
  }
};

template <typename T>
DSR_ALWAYS_INLINE bool is_nonfinite(T value, T exponent) {
  return (value & exponent) == exponent;
}

// Whole words [begin, end), each with 32 elements of its own: zeroes them, or counts.
template <typename T>
DSR_ALWAYS_INLINE void zero_block(T* data, const uint32_t* words, int64_t begin, int64_t end) {
  const Lanes<T> lanes;
  typename Lanes<T>::Vector values;
  for (int64_t w = begin; w < end; ++w) {
    for (int part = 0; part < lanes.kPerWord; ++part) {
      T* at = data + w * kWordBits + part * lanes.kCount;
      std::memcpy(&values, at, sizeof(values));
      lanes.keep_active(values, words[w], part);
      std::memcpy(at, &values, sizeof(values));
    }
  }
}

template <typename T>
DSR_ALWAYS_INLINE int64_t count_block(const T* data, const uint32_t* words, int64_t begin,
                                      int64_t end, T exponent) {
  int64_t count = 0;
  for (int64_t unit = begin * kWordBits; unit < end * kWordBits; ++unit) {
    count += is_active(words, unit) && is_nonfinite(data[unit], exponent);
  }
  return count;
}

template <typename T>
DSR_ALWAYS_INLINE int64_t settle_words(T* data, const uint32_t* words, int64_t begin, int64_t end,
                                       T exponent) {
  const Lanes<T> lanes;
  int64_t count = 0;
  for (int64_t block = begin; block < end; block += kBlockWords) {
    const int64_t block_end = std::min(end, block + kBlockWords);
    typename Lanes<T>::Vector values, stray{}, nonfinite{};
    for (int64_t w = block; w < block_end; ++w) {
      for (int part = 0; part < lanes.kPerWord; ++part) {
        std::memcpy(&values, data + w * kWordBits + part * lanes.kCount, sizeof(values));
        auto kept = values;
        lanes.keep_active(kept, words[w], part);
        stray |= values ^ kept;
        nonfinite |= reinterpret_cast<decltype(stray)>((kept & exponent) == exponent);
      }
    }
    if (lanes.any(stray)) zero_block(data, words, block, block_end);
    if (lanes.any(nonfinite)) count += count_block(data, words, block, block_end, exponent);
  }
  return count;
}

DSR_CLONES int64_t settle_whole_words(uint16_t* data, const uint32_t* words, int64_t begin,
                                      int64_t end, uint16_t exponent) {
  return settle_words(data, words, begin, end, exponent);
}

DSR_CLONES int64_t settle_whole_words(uint32_t* data, const uint32_t* words, int64_t begin,
                                      int64_t end, uint32_t exponent) {
  return settle_words(data, words, begin, end, exponent);
}

DSR_CLONES int64_t settle_whole_words(uint64_t* data, const uint32_t* words, int64_t begin,
                                      int64_t end, uint64_t exponent) {
  return settle_words(data, words, begin, end, exponent);
}

// One element; returns whether it is active and NaN or Inf.
template <typename T>
bool settle(T& value, bool active, T exponent) {
  if (active) return is_nonfinite(value, exponent);
  if (value != 0) value = 0;
  return false;
}

template <typename T>
int64_t settle_elements(const MaskChunk& chunk, T* data, T exponent) {
  const int64_t units = chunk.shape.units();
  const int64_t whole = std::min(chunk.end, units / kWordBits);
  int64_t count = settle_whole_words(data, chunk.words, chunk.begin, whole, exponent);
  for (int64_t unit = whole * kWordBits; whole < chunk.end && unit < units; ++unit) {
    count += settle(data[unit], is_active(chunk.words, unit), exponent);
  }
  return count;
}

template <typename T>
int64_t settle_contiguous_units(const MaskChunk& chunk, T* data, T exponent) {
  const int64_t unit_size = chunk.shape.unit_size;
  int64_t count = 0;
  for (int64_t unit = chunk.begin; unit < chunk.end; ++unit) {
    const bool active = is_active(chunk.words, unit);
    T* first = data + unit * unit_size;
    for (int64_t u = 0; u < unit_size; ++u) count += settle(first[u], active, exponent);
  }
  return count;
}

template <typename T>
int64_t settle_strided_units(const MaskChunk& chunk, T* data, T exponent) {
  const int64_t inner = chunk.shape.inner;
  int64_t count = 0;
  for (int64_t o = chunk.begin; o < chunk.end; ++o) {
    for (int64_t u = 0; u < chunk.shape.unit_size; ++u) {
      T* row = data + (o * chunk.shape.unit_size + u) * inner;
      for (int64_t i = 0; i < inner; ++i) {
        count += settle(row[i], is_active(chunk.words, o * inner + i), exponent);
      }
    }
  }
  return count;
}

template <typename T>
int64_t settle_chunk(const MaskChunk& chunk, T exponent) {
  T* data = chunk.target->as<T>();
  if (chunk.shape.unit_size == 1) return settle_elements(chunk, data, exponent);
  if (chunk.shape.inner == 1) return settle_contiguous_units(chunk, data, exponent);
  return settle_strided_units(chunk, data, exponent);
}

// The bits of an exponent that only NaN and Inf have. Throws if the dtype is no float.
uint64_t exponent_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return 0x7F800000u;
    case DType::kBFloat16:
      return 0x7F80u;
    case DType::kFloat16:
      return 0x7C00u;
    case DType::kFloat64:
      return 0x7FF0000000000000u;
    default:
      throw std::invalid_argument("dtype: expected a code of a float, got " +
                                  std::to_string(static_cast<int32_t>(dtype)));
  }
}

int64_t settle_any(const MaskChunk& chunk) {
  const uint64_t exponent = exponent_of(chunk.target->dtype);
  switch (element_bytes(chunk.target->dtype)) {
    case 2:
      return settle_chunk(chunk, static_cast<uint16_t>(exponent));
    case 4:
      return settle_chunk(chunk, static_cast<uint32_t>(exponent));
    default:
      return settle_chunk(chunk, exponent);
  }
}

}  // namespace

void mask_and_count(const std::vector<Buffer>& tensors, const std::vector<int64_t>& layers,
                    const Buffer& words, const Buffer& table, const Buffer& nonfinite,
                    int threads) {
  for (const Buffer& tensor : tensors) exponent_of(tensor.dtype);
  int64_t* counts = nonfinite.as<int64_t>();
  std::fill_n(counts, tensors.size(), 0);
  run_chunks(divide_tensors(tensors, layers, words, table), threads, [&](const MaskChunk& chunk) {
    const int64_t found = settle_any(chunk);
    if (found == 0) return;
    int64_t& count = counts[chunk.target - tensors.data()];
#pragma omp atomic
    count += found;
  });
}

}  // namespace dsr::cpu
