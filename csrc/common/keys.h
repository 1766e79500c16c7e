// A unit's key: the bits of its magnitude as float32. Magnitudes order as their keys do, so that
// only integers decide. -0 equals +0, denormals stay as they are, every NaN has the largest key.
#pragma once

#include <cstdint>
#include <cstring>

#include "common/host_device.h"

namespace dsr {

constexpr uint32_t kInfKey = 0x7F800000u;
constexpr uint32_t kNanKey = 0x7FFFFFFFu;
constexpr int kPartialSums = 32;

DSR_HOST_DEVICE inline float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

DSR_HOST_DEVICE inline uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// The stored types. magnitude() gives the bits of |value| as float32; a NaN keeps its payload.
struct Float32 {
  using Stored = uint32_t;
  DSR_HOST_DEVICE static uint32_t magnitude(uint32_t stored) { return stored & 0x7FFFFFFFu; }
};

struct BFloat16 {
  using Stored = uint16_t;
  DSR_HOST_DEVICE static uint32_t magnitude(uint16_t stored) {
    return static_cast<uint32_t>(stored & 0x7FFFu) << 16;
  }
};

struct Float16 {
  using Stored = uint16_t;
  DSR_HOST_DEVICE static uint32_t magnitude(uint16_t stored) {
    constexpr uint32_t kBias = 112u << 23;      // between the two exponents
    constexpr uint32_t kSmallest = 113u << 23;  // 2^-14, the smallest normal float16
    const uint32_t bits = static_cast<uint32_t>(stored & 0x7FFFu) << 13;
    // A denormal is m 2^-24 = 2^-14 (1 + m / 1024) - 2^-14; no float32 denormal comes up. The
    // others subtract 0: without a branch, loops over this become vector code.
    const bool denormal = bits < (1u << 23);
    const uint32_t finite = bits + (denormal ? kSmallest : kBias);
    const uint32_t upcast = bits < (31u << 23) ? finite : bits | kInfKey;
    return bits_of(float_of(upcast) - float_of(denormal ? kSmallest : 0u));
  }
};

DSR_HOST_DEVICE inline uint32_t key_of(uint32_t magnitude) {
  return magnitude > kInfKey ? kNanKey : magnitude;
}

// A mean is a sum times this. Rounding twice equals dividing in float32 where unit_size is one.
DSR_HOST_DEVICE inline float reciprocal_of(int64_t unit_size) {
  return static_cast<float>(1.0 / static_cast<double>(unit_size));
}

// Partial sums in use: the others are +0 and change nothing. A power of two, at most 32.
DSR_HOST_DEVICE inline int partial_sums_for(int64_t unit_size) {
  int width = 1;
  while (width < kPartialSums && width < unit_size) width *= 2;
  return width;
}

// Element u of a group goes to partial sum u mod 32, in index order; then the sums fold in halves.
template <typename Type>
DSR_HOST_DEVICE inline uint32_t group_key(const typename Type::Stored* first, int64_t unit_size,
                                          int64_t stride, float reciprocal) {
  float sums[kPartialSums] = {};
  const int width = partial_sums_for(unit_size);
  int64_t u = 0;
  for (; u + kPartialSums <= unit_size; u += kPartialSums) {
    for (int p = 0; p < kPartialSums; ++p) {
      sums[p] += float_of(Type::magnitude(first[(u + p) * stride]));
    }
  }
  for (int p = 0; u + p < unit_size; ++p) {
    sums[p] += float_of(Type::magnitude(first[(u + p) * stride]));
  }
  for (int half = width / 2; half > 0; half /= 2) {
    for (int p = 0; p < half; ++p) sums[p] += sums[p + half];
  }
  return key_of(bits_of(sums[0] * reciprocal));
}

}  // namespace dsr
