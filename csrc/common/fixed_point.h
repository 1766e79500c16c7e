// Magnitudes as integers on a common scale, from their keys: sums of them depend on no order.
#pragma once

#include <cstdint>

#include "common/host_device.h"

namespace dsr {

constexpr int kFixedBits = 31;  // of the largest magnitude, so that a sum of 3e9 stays an int64
constexpr int kMantissaBits = 23;

// The number whose bits are `key` is mantissa * 2^(exponent - 149).
DSR_HOST_DEVICE inline uint32_t mantissa_of(uint32_t key) {
  const uint32_t fraction = key & ((1u << kMantissaBits) - 1);
  return key >> kMantissaBits ? fraction | 1u << kMantissaBits : fraction;
}

DSR_HOST_DEVICE inline int exponent_of(uint32_t key) {
  const int field = static_cast<int>(key >> kMantissaBits);
  return field > 0 ? field - 1 : 0;
}

// The scale that gives the fixed point of `largest`, which is not 0, kFixedBits bits.
DSR_HOST_DEVICE inline int scale_of(uint32_t largest) {
  int bits = 0;
  for (uint32_t left = mantissa_of(largest); left != 0; left >>= 1) ++bits;
  return kFixedBits - bits - exponent_of(largest);
}

// floor(mantissa * 2^(exponent + scale)), below 2^31 for a key up to the one that set the scale.
DSR_HOST_DEVICE inline uint32_t fixed_point(uint32_t key, int scale) {
  const int shift = exponent_of(key) + scale;
  const int up = shift > 0 ? shift : 0;
  const int down = shift >= 0 ? 0 : -shift < kFixedBits ? -shift : kFixedBits;
  return mantissa_of(key) << up >> down;
}

}  // namespace dsr
