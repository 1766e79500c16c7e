// The layers of a call, cut into chunks of mask words, and the keys of their units.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "common/buffer.h"
#include "common/keys.h"
#include "common/layout.h"
#include "common/select.h"
#include "cpu/team.h"

namespace dsr::cpu {

constexpr int kBlockWords = 32;
constexpr int kBlockUnits = kBlockWords * kWordBits;
constexpr int64_t kChunkElements = 1 << 15;
// Waking a second thread costs about as much as this many elements.
constexpr int64_t kMinElementsPerThread = 1 << 16;

struct Layer {
  LayerShape shape;
  void* data;
  DType dtype;
  float reciprocal;  // of the unit size
  int64_t units;
};

// Mask words [begin, end) of one layer, counted in the layer.
struct Chunk {
  int64_t layer;
  int64_t begin;
  int64_t end;
};

struct Work {
  std::vector<Layer> layers;
  std::vector<Chunk> chunks;
  int team;

  int64_t chunk_count() const { return static_cast<int64_t>(chunks.size()); }
  int64_t layer_count() const { return static_cast<int64_t>(layers.size()); }
};

// Throws unless the dtype has keys.
inline void require_key_dtype(DType dtype) {
  if (dtype != DType::kFloat32 && dtype != DType::kBFloat16 && dtype != DType::kFloat16) {
    throw std::invalid_argument("dtype: expected float32, bfloat16 or float16, got code " +
                                std::to_string(static_cast<int32_t>(dtype)));
  }
}

// tensors[i] belongs to layer i. Throws before anything is written if a dtype has no keys.
inline Work divide_work(const std::vector<Buffer>& tensors, const Buffer& table, int threads) {
  Work work;
  int64_t elements = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const LayerShape shape = read_layer(table.as<int64_t>(), static_cast<int64_t>(i));
    require_key_dtype(tensors[i].dtype);
    work.layers.push_back(
        {shape, tensors[i].data, tensors[i].dtype, reciprocal_of(shape.unit_size), shape.units()});
    const int64_t words = words_for(shape.units());
    const int64_t step = std::max<int64_t>(1, kChunkElements / kWordBits / shape.unit_size);
    for (int64_t begin = 0; begin < words; begin += step) {
      work.chunks.push_back({static_cast<int64_t>(i), begin, std::min(words, begin + step)});
    }
    elements += shape.elements();
  }
  work.team = team_size(elements, kMinElementsPerThread, threads);
  return work;
}

// Returns whether any is Inf or NaN. They are rare: NaNs get their key in a loop of their own.
template <typename Type>
DSR_ALWAYS_INLINE bool element_keys(const typename Type::Stored* data, int64_t count,
                                    uint32_t* keys) {
  int32_t largest = 0;
  for (int64_t j = 0; j < count; ++j) {
    keys[j] = Type::magnitude(data[j]);
    largest = std::max(largest, static_cast<int32_t>(keys[j]));
  }
  if (static_cast<uint32_t>(largest) < kInfKey) return false;
  for (int64_t j = 0; j < count; ++j) keys[j] = key_of(keys[j]);
  return true;
}

// Units whose elements lie behind each other: only those with a bit in `wanted`.
template <typename Type>
DSR_ALWAYS_INLINE void contiguous_group_keys(const Layer& layer, const typename Type::Stored* data,
                                             int words, const uint32_t* wanted, uint32_t* keys) {
  const int64_t unit_size = layer.shape.unit_size;
  for (int w = 0; w < words; ++w) {
    for (uint32_t left = wanted[w]; left != 0; left &= left - 1) {
      const int unit = w * kWordBits + lowest_bit(left);
      keys[unit] = group_key<Type>(data + unit * unit_size, unit_size, 1, layer.reciprocal);
    }
  }
}

// group_key() for `lanes` neighbours at once, at most 32: element u of lane j is
// data[u * inner + j].
template <typename Type>
DSR_ALWAYS_INLINE void neighbour_group_keys(const Layer& layer, const typename Type::Stored* data,
                                            int lanes, uint32_t* keys) {
  float sums[kPartialSums][kWordBits];
  const int64_t unit_size = layer.shape.unit_size;
  const int width = partial_sums_for(unit_size);
  for (int p = 0; p < width; ++p) std::fill_n(sums[p], kWordBits, 0.0f);
  for (int64_t u = 0; u < unit_size; ++u) {
    const typename Type::Stored* row = data + u * layer.shape.inner;
    float* sum = sums[u % kPartialSums];
    for (int j = 0; j < lanes; ++j) sum[j] += float_of(Type::magnitude(row[j]));
  }
  for (int half = width / 2; half > 0; half /= 2) {
    for (int p = 0; p < half; ++p) {
      for (int j = 0; j < kWordBits; ++j) sums[p][j] += sums[p + half][j];
    }
  }
  for (int j = 0; j < lanes; ++j) keys[j] = key_of(bits_of(sums[0][j] * layer.reciprocal));
}

template <typename Type>
DSR_ALWAYS_INLINE void strided_group_keys(const Layer& layer, int64_t first, int words,
                                          const uint32_t* wanted, uint32_t* keys) {
  const auto* data = static_cast<const typename Type::Stored*>(layer.data);
  const int64_t inner = layer.shape.inner;
  for (int w = 0; w < words; ++w) {
    if (wanted[w] == 0) continue;
    const int64_t end = std::min(layer.units, first + (w + 1) * kWordBits);
    for (int64_t unit = first + w * kWordBits; unit < end;) {
      const int64_t i = unit % inner;
      const int lanes = static_cast<int>(std::min(inner - i, end - unit));
      const auto* start = data + (unit - i) * layer.shape.unit_size + i;
      neighbour_group_keys<Type>(layer, start, lanes, keys + (unit - first));
      unit += lanes;
    }
  }
}

template <typename Type>
DSR_ALWAYS_INLINE bool read_keys_as(const Layer& layer, int64_t first_word, int words,
                                    const uint32_t* wanted, uint32_t* keys) {
  const auto* data = static_cast<const typename Type::Stored*>(layer.data);
  const int64_t first = first_word * kWordBits;
  if (layer.shape.unit_size == 1) {
    const int64_t count = std::min<int64_t>(layer.units - first, words * kWordBits);
    return element_keys<Type>(data + first, count, keys);
  }
  if (layer.shape.inner == 1) {
    const auto* start = data + first * layer.shape.unit_size;
    contiguous_group_keys<Type>(layer, start, words, wanted, keys);
  } else {
    strided_group_keys<Type>(layer, first, words, wanted, keys);
  }
  return true;
}

// The keys of the units with a bit in `wanted`, for at most kBlockWords words; other entries of
// `keys` may keep what they held. Returns false if none is Inf or NaN.
DSR_CLONES static inline bool read_keys(const Layer& layer, int64_t first_word, int words,
                                        const uint32_t* wanted, uint32_t* keys) {
  switch (layer.dtype) {
    case DType::kFloat32:
      return read_keys_as<Float32>(layer, first_word, words, wanted, keys);
    case DType::kBFloat16:
      return read_keys_as<BFloat16>(layer, first_word, words, wanted, keys);
    default:
      return read_keys_as<Float16>(layer, first_word, words, wanted, keys);
  }
}

}  // namespace dsr::cpu
