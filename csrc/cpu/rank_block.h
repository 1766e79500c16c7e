// The units that compete in a selection, a block at a time, as ranks: the lowest is selected first.
#pragma once

#include <cstdint>

#include "cpu/key_bits.h"
#include "cpu/unit_keys.h"

namespace dsr::cpu {

constexpr int kRankBits = 31;
constexpr int kIndexBits = 32;
constexpr int kPlaceBits = kRankBits + kIndexBits;
constexpr int kDigitBits = 11;
constexpr int kBins = 1 << kDigitBits;
constexpr int kNanBin = kBins - 1;

// Ranks order as the keys do, or the other way round if the largest come first; NaN is last in
// both. Inf and NaN share their upper 11 bits with no finite number.
constexpr uint32_t kTopRank = 0x7F8FFFFFu;

DSR_ALWAYS_INLINE uint32_t rank_of(uint32_t key, bool largest) {
  return largest && key != kNanKey ? kTopRank - key : key;
}

// rank_of() is its own inverse.
inline uint32_t key_of_rank(uint32_t rank, bool largest) { return rank_of(rank, largest); }

enum class Among { kActive, kInactive, kFree, kJustPruned };

// Which units compete. `previous` is the mask before pruning; kFree and kJustPruned need it.
struct Candidates {
  Among among;
  const uint32_t* words;
  const uint32_t* previous;

  uint32_t bits(const Layer& layer, int64_t word) const {
    const int64_t at = layer.shape.word_offset + word;
    const uint32_t units = unit_bits(word, layer.units);
    switch (among) {
      case Among::kActive:
        return words[at] & units;
      case Among::kInactive:
        return ~words[at] & units;
      case Among::kFree:
        return ~(words[at] | previous[at]) & units;
      default:
        return ~words[at] & previous[at] & units;
    }
  }
};

DSR_CLONES static inline void reverse_ranks(uint32_t* keys, int words) {
  for (int j = 0; j < words * kWordBits; ++j) keys[j] = rank_of(keys[j], true);
}

struct RankBlock {
  alignas(64) uint32_t ranks[kBlockUnits] = {};
  uint32_t wanted[kBlockWords] = {};
  int words = 0;

  // False, with no ranks, if no unit of the block competes.
  bool read(const Layer& layer, int64_t first_word, int count, const Candidates& candidates,
            bool largest) {
    words = count;
    uint32_t any = 0;
    for (int w = 0; w < words; ++w) any |= wanted[w] = candidates.bits(layer, first_word + w);
    if (any == 0) return false;
    read_keys(layer, first_word, words, wanted, ranks);
    if (largest) reverse_ranks(ranks, words);
    return true;
  }
};

// Counts the upper bits of every candidate's rank. Neighbours go to different histograms, for a
// counter waits until its last increment is done.
DSR_CLONES static inline void count_upper_bits(const RankBlock& block, uint32_t* even,
                                               uint32_t* odd) {
  constexpr int kShift = kRankBits - kDigitBits;
  uint32_t found[kGatherRoom];
  const int count = gather_keys(block.ranks, block.wanted, block.words, found);
  int n = 0;
  for (; n + 1 < count; n += 2) {
    ++even[found[n] >> kShift];
    ++odd[found[n + 1] >> kShift];
  }
  if (n < count) ++even[found[n] >> kShift];
}

// The places (rank << 32 | index) of the candidates with place >> shift == prefix. Returns how
// many; at most kBlockUnits.
DSR_CLONES static inline int find_places(const RankBlock& block, int64_t first_index,
                                         uint64_t prefix, int shift, uint64_t* places) {
  const uint64_t end = (prefix + 1) << shift;
  const uint32_t lowest = static_cast<uint32_t>(prefix << shift >> kIndexBits);
  const uint32_t highest = static_cast<uint32_t>((end - 1) >> kIndexBits);
  int found = 0;
  for (int w = 0; w < block.words; ++w) {
    if (block.wanted[w] == 0) continue;
    const uint32_t* ranks = block.ranks + w * kWordBits;
    uint32_t left = block.wanted[w];
    left &= ~bits_below(stored(ranks), lowest) & ~bits_above(stored(ranks), highest);
    for (; left != 0; left &= left - 1) {
      const int j = lowest_bit(left);
      const uint64_t index = static_cast<uint64_t>(first_index + w * kWordBits + j);
      const uint64_t place = static_cast<uint64_t>(ranks[j]) << kIndexBits | index;
      places[found] = place;
      found += place >> shift == prefix ? 1 : 0;
    }
  }
  return found;
}

}  // namespace dsr::cpu
