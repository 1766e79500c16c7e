// Sending ranks through a keyed bijection, a batch at a time.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/bijection.h"
#include "cpu/team.h"

namespace dsr::cpu {

constexpr int kBatch = 256;

// Every rank of a batch goes through one round before the next, so that the loop vectorises.
DSR_CLONES static inline void feistel_batch(uint32_t* values, const Bijection& b) {
  uint32_t high[kBatch];
  uint32_t low[kBatch];
  for (int i = 0; i < kBatch; ++i) {
    high[i] = values[i] >> b.low_bits;
    low[i] = values[i] & b.low_mask;
  }
  for (int r = 0; r < kFeistelRounds; r += 2) {
    for (int i = 0; i < kBatch; ++i) {
      low[i] ^= mix(high[i] ^ b.keys[r]) & b.low_mask;
      high[i] ^= mix(low[i] ^ b.keys[r + 1]) & b.high_mask;
    }
  }
  for (int i = 0; i < kBatch; ++i) values[i] = high[i] << b.low_bits | low[i];
}

// Writes the places of ranks [begin, end) to out[0 .. end - begin), in some order. Values outside
// the bijection's range go round again with the next ranks.
inline void draw_places(const Bijection& b, int64_t begin, int64_t end, uint32_t* out) {
  uint32_t values[kBatch] = {};
  uint32_t inside[kBatch];
  int filled = 0;
  for (;;) {
    while (filled < kBatch && begin < end) values[filled++] = static_cast<uint32_t>(begin++);
    if (filled == 0) return;
    feistel_batch(values, b);
    int found = 0;
    int outside = 0;
    for (int i = 0; i < filled; ++i) {  // without a branch: it could not be predicted
      const uint32_t value = values[i];
      const bool is_place = value < b.size;
      inside[found] = value;
      values[outside] = value;
      found += is_place;
      outside += !is_place;
    }
    out = std::copy_n(inside, found, out);
    filled = outside;
  }
}

}  // namespace dsr::cpu
