// The keys of groups of elements: in the order of additions that common/keys.h defines, without an
// array that would lie in memory.
#pragma once

#include <cstdint>

#include "common/bits.h"
#include "common/keys.h"
#include "common/layout.h"
#include "cuda/lanes.h"

namespace dsr::cuda {

// The element of unit `unit` that comes first, and how far the next ones are apart.
struct GroupPlace {
  int64_t first;
  int64_t stride;
};

__device__ inline GroupPlace group_place(const LayerShape& shape, int64_t unit) {
  if (shape.inner == 1) return {unit * shape.unit_size, 1};
  // Neither exceeds the 3e9 units of a layout, and 64-bit division is several times slower.
  const int64_t i = static_cast<uint32_t>(unit) % static_cast<uint32_t>(shape.inner);
  return {(unit - i) * shape.unit_size + i, shape.inner};
}

template <typename T>
__device__ void zero_group(T* data, const LayerShape& shape, int64_t unit) {
  const GroupPlace place = group_place(shape, unit);
#pragma unroll 1
  for (int64_t u = 0; u < shape.unit_size; ++u) data[place.first + u * place.stride] = T{0};
}

// Partial sums p, p + half, p + 2 half, ... folded as common/keys.h says; leaf(p) gives one.
// Written so that few of them are alive at a time. Those beyond the group are +0, which changes no
// sum.
template <int p, int half, typename Leaf>
__device__ float fold_partial_sums(const Leaf& leaf) {
  if constexpr (half == kPartialSums) {
    return leaf(p);
  } else {
    const float sum = fold_partial_sums<p, 2 * half>(leaf);
    return sum + fold_partial_sums<p + half, 2 * half>(leaf);
  }
}

// By one thread, for groups of at most 32, with all loads on their way at once.
template <typename Type>
__device__ uint32_t thread_group_key(const typename Type::Stored* data, const LayerShape& shape,
                                     int64_t unit, float reciprocal) {
  const GroupPlace place = group_place(shape, unit);
  const typename Type::Stored* first = data + place.first;
  const int size = static_cast<int>(shape.unit_size);
  const float sum = fold_partial_sums<0, 1>(
      [&](int p) { return p < size ? float_of(Type::magnitude(first[p * place.stride])) : 0.0f; });
  return key_of(bits_of(sum * reciprocal));
}

// By a warp, for groups of any size: lane p has partial sum p. Every lane gets the key.
template <typename Type>
__device__ uint32_t warp_group_key(const typename Type::Stored* data, const LayerShape& shape,
                                   int64_t unit, float reciprocal) {
  const GroupPlace place = group_place(shape, unit);
  float sum = 0.0f;
#pragma unroll 4
  for (int64_t u = lane(); u < shape.unit_size; u += kPartialSums) {
    sum += float_of(Type::magnitude(data[place.first + u * place.stride]));
  }
  for (int half = kPartialSums / 2; half > 0; half /= 2) {
    sum += __shfl_xor_sync(kAllLanes, sum, half);
  }
  return key_of(bits_of(sum * reciprocal));
}

// Reads groups as cuda/strips.h reads elements. Unit j of a lane is unit 32 j + lane of the warp's
// 128, so that lanes read neighbours.
template <typename Type>
struct Groups {
  using Stored = typename Type::Stored;
  static constexpr int kBatch = 1;

  Stored* data;
  LayerShape shape;

  __device__ static int place(int j) { return j * kLanes + lane(); }

  __device__ static uint32_t spread(uint32_t word) {
    uint32_t bits = 0;
#pragma unroll
    for (int j = 0; j < kStrip; ++j) {
      bits |= (__shfl_sync(kAllLanes, word, j * kWordLanes) >> lane() & 1u) << j;
    }
    return bits;
  }

  __device__ static uint32_t gather(uint32_t bits) {
    uint32_t word = 0;
#pragma unroll
    for (int j = 0; j < kStrip; ++j) {
      const uint32_t votes = __ballot_sync(kAllLanes, bits >> j & 1u);
      if (lane() / kWordLanes == j) word = votes;
    }
    return word;
  }

  struct Raw {
    uint32_t keys[kStrip];
  };

  __device__ Raw load(int64_t first, uint32_t wanted) const {
    const float reciprocal = reciprocal_of(shape.unit_size);
    const bool together = shape.unit_size >= kPartialSums;
    Raw raw = {};
#pragma unroll 1
    for (int j = 0; j < kStrip; ++j) {
      uint32_t key = 0;
      if (together) {
        key = read_together(first + j * kLanes, wanted >> j & 1u, reciprocal);
      } else if (wanted >> j & 1u) {
        key = thread_group_key<Type>(data, shape, first + place(j), reciprocal);
      }
#pragma unroll
      for (int i = 0; i < kStrip; ++i) raw.keys[i] = i == j ? key : raw.keys[i];
    }
    return raw;
  }

  __device__ static void unpack(const Raw& raw, uint32_t (&keys)[kStrip]) {
#pragma unroll
    for (int j = 0; j < kStrip; ++j) keys[j] = raw.keys[j];
  }

 private:
  __device__ uint32_t read_together(int64_t first, bool wanted, float reciprocal) const {
    uint32_t mine = 0;
    for (uint32_t left = __ballot_sync(kAllLanes, wanted); left != 0; left &= left - 1) {
      const int of_lane = __ffs(static_cast<int>(left)) - 1;
      const uint32_t key = warp_group_key<Type>(data, shape, first + of_lane, reciprocal);
      if (lane() == of_lane) mine = key;
    }
    return mine;
  }
};

}  // namespace dsr::cuda
