// Standard normal numbers from random words.
#pragma once

#include <cstdint>

#include "common/host_device.h"
#include "common/normal_table.h"

namespace dsr {

// A word is 10 bits of interval and 22 of place in it; every operation is rounded by itself.
DSR_DEVICE inline float standard_normal(uint32_t word) {
  const uint32_t interval = word >> 22;
  // As int32: there is a vector instruction for that.
  const float fraction = static_cast<float>(static_cast<int32_t>(word & 0x3FFFFFu)) * 0x1p-22f;
  const float low = kNormalTable[interval];
  const float step = kNormalTable[interval + 1] - low;
  const float rise = fraction * step;
  return low + rise;
}

}  // namespace dsr
