// Stored floats as float32, and back: to nearest, ties to even.
#pragma once

#include <cstdint>

#include "common/host_device.h"
#include "common/keys.h"

namespace dsr {

template <typename Type>
DSR_HOST_DEVICE inline float value_of(typename Type::Stored stored) {
  constexpr int kShift = 32 - 8 * static_cast<int>(sizeof(stored));
  const uint32_t sign = static_cast<uint32_t>(stored) << kShift & 0x80000000u;
  return float_of(Type::magnitude(stored) | sign);
}

// The value must not be NaN.
DSR_HOST_DEVICE inline uint32_t rounded_to(Float32, float value) { return bits_of(value); }

DSR_HOST_DEVICE inline uint16_t rounded_to(BFloat16, float value) {
  const uint32_t bits = bits_of(value);
  return static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

// Without a branch, so that loops over it become vector code.
DSR_HOST_DEVICE inline uint16_t rounded_to(Float16, float value) {
  constexpr uint32_t kBias = 112u << 23;      // between the two exponents
  constexpr uint32_t kSmallest = 113u << 23;  // 2^-14, the smallest normal float16
  constexpr uint32_t kOverflow = 143u << 23;  // 2^16
  constexpr uint32_t kOneHalf = 126u << 23;   // its last bit is 2^-24, that of a denormal
  const uint32_t bits = bits_of(value);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  const uint32_t normal = (magnitude - kBias + 0xFFFu + (magnitude >> 13 & 1u)) >> 13;
  const uint32_t denormal = bits_of(float_of(magnitude) + float_of(kOneHalf)) - kOneHalf;
  const uint32_t finite = magnitude < kSmallest ? denormal : normal;
  const uint32_t nearest = magnitude < kOverflow ? finite : 0x7C00u;
  return static_cast<uint16_t>(bits >> 16 & 0x8000u) | static_cast<uint16_t>(nearest);
}

}  // namespace dsr
