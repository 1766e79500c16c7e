// Finds the k-th unit in the order of selection without a sort, in every group of layers at once.
//
// Units are ordered by a 32-bit number, the lowest first, and by index where it is equal. Three
// launches find the number of the k-th, 12, 10 and 10 bits each: every block counts the digits of
// its chunk's candidates, and the group's last block picks the digit in which the k-th lies. A
// fourth counts the candidates with that number, a count a chunk, and its last block finds the
// chunk and the unit. Counts are integers: the order of the blocks changes none of them.
//
// The first two launches read every candidate. The second also writes down those with the first
// digit sought, which the other two read instead, wherever they fit: cuda/order_segments.h.
#pragma once

#include <cstdint>
#include <vector>

#include "common/keys.h"
#include "common/select.h"
#include "cuda/launchers.h"
#include "cuda/strips.h"

namespace dsr::cuda {

// Orders as the keys do, or the other way round if the largest come first; NaN is last in both.
// The upper 12 bits of Inf and NaN are those of no finite number.
constexpr uint32_t kTopOrder = kInfKey + (1u << 20) - 1;
constexpr uint32_t kLaterOrder = 1u << 31;  // behind every order of a key

__host__ __device__ constexpr uint32_t order_of_key(uint32_t key, bool largest) {
  return largest && key != kNanKey ? kTopOrder - key : key;
}

// order_of_key() is its own inverse.
__host__ __device__ constexpr uint32_t key_of_order(uint32_t order, bool largest) {
  return order_of_key(order, largest);
}

// What a search has found. Selected are the candidates whose order is below `order`, and those
// equal to it whose index is below `tie`.
struct Search {
  int64_t wanted;  // among those in question, the number of the one sought, from 1; 0: none
  int64_t tie;
  uint32_t order;  // while it runs: the digits found so far
  uint32_t unused;
};
constexpr int kSearchValues = sizeof(Search) / sizeof(int64_t);

enum class Among : int32_t { kActive, kActiveNumbers, kInactive };  // numbers: no NaN

struct Candidates {
  Among among;
  bool largest;
  bool per_layer;  // each layer is a group, its units counted from 0; or all are one
  const uint32_t* words;
  const uint32_t* previous;  // units active in it come behind all others; null: none

  __device__ int64_t group(const Span& span) const { return per_layer ? span.layer : 0; }
  __device__ int64_t base(const Span& span) const { return per_layer ? 0 : span.shape.unit_offset; }

  // A mask word's worth of candidates, of which kActiveNumbers still leaves out NaNs.
  __device__ uint32_t in_word(const Span& span, int64_t index) const {
    const uint32_t active = words[span.shape.word_offset + index];
    return among == Among::kInactive ? ~active & unit_bits(index, span.end) : active;
  }

  // Turns the magnitudes that visit_strips() gives into orders. All lanes of a warp together.
  template <typename Reader>
  __device__ void order(const Reader& reader, const Span& span, int64_t first,
                        const uint32_t (&magnitudes)[kStrip], uint32_t (&orders)[kStrip]) const {
#pragma unroll
    for (int j = 0; j < kStrip; ++j) orders[j] = order_of_key(key_of(magnitudes[j]), largest);
    if (previous == nullptr) return;
    const int64_t index = word_of_lane(first);
    const bool inside = index < words_for(span.end);
    const uint32_t word = inside ? previous[span.shape.word_offset + index] : 0;
    const uint32_t later = reader.spread(word);
#pragma unroll
    for (int j = 0; j < kStrip; ++j) orders[j] |= (later >> j & 1u) * kLaterOrder;
  }
};

// The outputs of kth_magnitude; null in other ops, which need no canonical cut.
struct CutOutputs {
  int64_t* select;
  int64_t* shortfall;
  int64_t* nonfinite;
  unsigned long long* counts;  // [layers], 0 at the start: candidates that are Inf or NaN
};

// Leaves a search for each group in the tables, for the k[group]-th candidate or the last where
// there are fewer.
void search_order(const char* op, const std::vector<Buffer>& tensors, const Buffer& table,
                  const Candidates& candidates, const Buffer& k, const SearchTables& tables,
                  const CutOutputs& outputs, uintptr_t stream);

}  // namespace dsr::cuda
