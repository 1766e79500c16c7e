// Mask words: bit j of word w is unit 32 w + j; 1 means active.
#pragma once

#include <cstdint>

#include "common/host_device.h"

namespace dsr {

constexpr int kWordBits = 32;
constexpr uint32_t kAllActive = 0xFFFFFFFFu;

DSR_HOST_DEVICE constexpr int64_t words_for(int64_t units) {
  return (units + kWordBits - 1) / kWordBits;
}

DSR_HOST_DEVICE inline bool is_active(const uint32_t* words, int64_t unit) {
  return (words[unit / kWordBits] >> (unit % kWordBits)) & 1u;
}

}  // namespace dsr
