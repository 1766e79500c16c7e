// Packed layers: the values of active units side by side, and how many lie before each block of
// 1,024 mask bits. Blocks share nothing, so that threads can take them in any order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/bits.h"
#include "common/buffer.h"
#include "common/select.h"
#include "cpu/team.h"

namespace dsr::cpu {

constexpr int64_t kBlockBits = 1 << 10;  // as RANK_BITS in dsr_kernels/product_checks.py
constexpr int64_t kRankWords = kBlockBits / kWordBits;
constexpr int64_t kMinElementsPerThread = 1 << 15;

// One layer: `units` is outer, unit_size, inner.
struct PackedLayer {
  int64_t unit_size;
  int64_t inner;
  int64_t units;
  const uint32_t* words;
  const int64_t* ranks;

  PackedLayer(const std::vector<int64_t>& shape, const Buffer& mask, const Buffer& starts)
      : unit_size(shape[1]),
        inner(shape[2]),
        units(shape[0] * shape[2]),
        words(mask.as<const uint32_t>()),
        ranks(starts.as<const int64_t>()) {}

  int64_t blocks() const { return (units + kBlockBits - 1) / kBlockBits; }
  int64_t first_element(int64_t unit) const {
    return unit / inner * unit_size * inner + unit % inner;
  }
  int team(int threads) const {
    return team_size(units * unit_size, kMinElementsPerThread, threads);
  }
};

// Calls visit(unit, rank) for the active units of one block, in order.
template <typename Visit>
void for_each_active(const PackedLayer& layer, int64_t block, const Visit& visit) {
  const int64_t words = words_for(layer.units);
  const int64_t end = std::min((block + 1) * kRankWords, words);
  int64_t rank = layer.ranks[block];
  for (int64_t w = block * kRankWords; w < end; ++w) {
    for (uint32_t left = layer.words[w]; left != 0; left &= left - 1) {
      visit(w * kWordBits + __builtin_ctz(left), rank++);
    }
  }
}

inline int64_t block_population(const PackedLayer& layer, int64_t block) {
  const int64_t end = std::min((block + 1) * kRankWords, words_for(layer.units));
  int64_t count = 0;
  for (int64_t w = block * kRankWords; w < end; ++w) count += popcount(layer.words[w]);
  return count;
}

// Before anything is read at a rank: it must be the number of active units before its block.
inline void require_ranks(const PackedLayer& layer, int team) {
  const int64_t blocks = layer.blocks();
  int64_t wrong = layer.ranks[0] != 0;
#pragma omp parallel for schedule(static) num_threads(team) reduction(+ : wrong) if (team > 1)
  for (int64_t b = 0; b < blocks; ++b) {
    // Unsigned, so that no rank overflows.
    const uint64_t here =
        static_cast<uint64_t>(layer.ranks[b + 1]) - static_cast<uint64_t>(layer.ranks[b]);
    wrong += here != static_cast<uint64_t>(block_population(layer, b));
  }
  if (wrong != 0) {
    throw std::invalid_argument(
        "ranks: expected how many units of the mask are active before each block of 1,024, got "
        "other numbers; pack again after the mask has changed");
  }
}

inline void require_active(int64_t have, int64_t active) {
  if (have != active) {
    throw std::invalid_argument("active: expected " + std::to_string(active) +
                                ", as in the mask, got " + std::to_string(have));
  }
}

inline void require_values(int64_t have, int64_t active, int64_t unit_size) {
  if (have != active * unit_size) {
    throw std::invalid_argument("values: expected " + std::to_string(active * unit_size) +
                                " of them for the active units of the mask, got " +
                                std::to_string(have));
  }
}

}  // namespace dsr::cpu
