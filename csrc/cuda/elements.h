// Reading units that are single elements. A lane takes a strip of four neighbours: one load of 16
// bytes (8 for 16-bit types), left out where the strip has no bit wanted. A layer that is not
// aligned, or whose last strip is cut, is loaded element by element.
#pragma once

#include <cstdint>

#include "common/keys.h"
#include "cuda/lanes.h"

namespace dsr::cuda {

// What a strip holds of each element: its key, its magnitude (the key, but any number above kInfKey
// where it is NaN), or its value; all as the bits of a float32.
template <typename Type>
struct MagnitudeOf {
  using Stored = typename Type::Stored;
  __device__ static uint32_t read(Stored stored) { return Type::magnitude(stored); }
};

template <typename Type>
struct KeyOf {
  using Stored = typename Type::Stored;
  __device__ static uint32_t read(Stored stored) { return key_of(Type::magnitude(stored)); }
};

template <typename Type>
struct ValueOf {
  using Stored = typename Type::Stored;
  __device__ static uint32_t read(Stored stored) {
    constexpr int kSignShift = 32 - 8 * static_cast<int>(sizeof(Stored));
    const uint32_t sign = (static_cast<uint32_t>(stored) << kSignShift) & 0x80000000u;
    return Type::magnitude(stored) | sign;
  }
};

template <int kBytes>
struct Packed;  // a strip as one load
template <>
struct Packed<4> {
  using Type = uint4;
  __device__ static void unpack(const uint4& from, uint32_t (&to)[kStrip]) {
    to[0] = from.x, to[1] = from.y, to[2] = from.z, to[3] = from.w;
  }
};
template <>
struct Packed<2> {
  using Type = uint2;
  __device__ static void unpack(const uint2& from, uint16_t (&to)[kStrip]) {
    to[0] = static_cast<uint16_t>(from.x), to[1] = static_cast<uint16_t>(from.x >> 16);
    to[2] = static_cast<uint16_t>(from.y), to[3] = static_cast<uint16_t>(from.y >> 16);
  }
};

// Unit j of a lane's strip is element 4 lane + j of the warp's 128. kVector: every strip is whole
// and aligned.
template <typename Of, bool kVector>
struct Elements {
  using Stored = typename Of::Stored;
  static constexpr int kBatch = 4;

  Stored* data;

  __device__ static int place(int j) { return lane() * kStrip + j; }

  // This lane's bits of the warp's four words, of which it holds number lane / 8.
  __device__ static uint32_t spread(uint32_t word) {
    return word >> (lane() % kWordLanes * kStrip) & kStripBits;
  }

  // The reverse: the word of which this lane's bits are part.
  __device__ static uint32_t gather(uint32_t bits) {
    uint32_t word = bits << (lane() % kWordLanes * kStrip);
    for (int apart = 1; apart < kWordLanes; apart *= 2) {
      word |= __shfl_xor_sync(kAllLanes, word, apart);
    }
    return word;
  }

  // A strip as it is stored. What units without a bit in `wanted` get is not said.
  struct Raw {
    Stored stored[kStrip];
  };

  __device__ Raw load(int64_t first, uint32_t wanted) const {
    Raw raw = {};
    const Stored* from = data + first + place(0);
    if constexpr (kVector) {
      using Pack = Packed<sizeof(Stored)>;
      typename Pack::Type pack = {};
      if (wanted) pack = *reinterpret_cast<const typename Pack::Type*>(from);
      Pack::unpack(pack, raw.stored);
    } else {
#pragma unroll
      for (int j = 0; j < kStrip; ++j) {
        if (wanted >> j & 1u) raw.stored[j] = from[j];
      }
    }
    return raw;
  }

  __device__ static void unpack(const Raw& raw, uint32_t (&values)[kStrip]) {
#pragma unroll
    for (int j = 0; j < kStrip; ++j) values[j] = Of::read(raw.stored[j]);
  }

  __device__ void read(int64_t first, uint32_t wanted, uint32_t (&values)[kStrip]) const {
    unpack(load(first, wanted), values);
  }

  __device__ void zero(int64_t first, uint32_t bits) const {
#pragma unroll
    for (int j = 0; j < kStrip; ++j) {
      if (bits >> j & 1u) data[first + place(j)] = Stored{0};
    }
  }
};

}  // namespace dsr::cuda
