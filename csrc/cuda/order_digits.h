// A digit of a search: counting it in a chunk, and choosing the one in which the unit sought lies.
#pragma once

#include <cstdint>

#include "cuda/order_job.h"
#include "cuda/reduce.h"

namespace dsr::cuda {

struct Digit {
  int shift;
  int bits;
};

__host__ __device__ constexpr Digit digit_of_pass(int pass) {
  return pass == 0 ? Digit{20, 12} : pass == 1 ? Digit{10, 10} : Digit{0, 10};
}
static_assert(digit_of_pass(0).bits == kFirstDigitBits && digit_of_pass(0).shift == kKeptBits);

// Counts the digits of this lane's candidates, those with a bit. All lanes of a warp together:
// false if none has a candidate.
__device__ inline bool count_digits(const uint32_t (&digits)[kStrip], uint32_t bits,
                                    uint32_t* bins) {
  const uint32_t lanes = __ballot_sync(kAllLanes, bits != 0);
  if (lanes == 0) return false;
  uint32_t common = 0;
#pragma unroll
  for (int j = 0; j < kStrip; ++j) common = bits >> j & 1u ? digits[j] : common;
  common = __shfl_sync(kAllLanes, common, __ffs(static_cast<int>(lanes)) - 1);
  bool same = true;
#pragma unroll
  for (int j = 0; j < kStrip; ++j) same = same && (!(bits >> j & 1u) || digits[j] == common);
  if (__all_sync(kAllLanes, same)) {
    const uint32_t count = __reduce_add_sync(kAllLanes, static_cast<uint32_t>(__popc(bits)));
    if (lane() == 0) atomicAdd(&bins[common], count);
    return true;
  }
#pragma unroll
  for (int j = 0; j < kStrip; ++j) {
    if (bits >> j & 1u) atomicAdd(&bins[digits[j]], 1u);
  }
  return true;
}

// What kth_magnitude says of a group as soon as its candidates are counted.
__device__ inline void write_counts(const Job& job, int64_t group, int64_t candidates) {
  const CutOutputs& outputs = job.outputs;
  outputs.shortfall[group] = max(int64_t{0}, job.k[group] - candidates);
  outputs.select[2 * group] = job.candidates.largest ? kNanKey : 0;
  outputs.select[2 * group + 1] = 0;
}

__device__ inline void write_nonfinite(const Job& job, const Span& span) {
  const bool one = job.candidates.per_layer;
  const int64_t begin = one ? span.layer : 0;
  const int64_t end = one ? begin + 1 : job.layers;
  for (int64_t layer = begin + threadIdx.x; layer < end; layer += kStripThreads) {
    job.outputs.nonfinite[layer] = static_cast<int64_t>(__ldcg(&job.outputs.counts[layer]));
  }
}

// By a group's last block: goes on with the digit that holds the unit sought; clears the bins.
template <int kPass>
__device__ void choose_digit(const Job& job, const Span& span) {
  constexpr int kDigitBits = digit_of_pass(kPass).bits;
  constexpr int kMine = (1 << kDigitBits) / kStripThreads;
  const int64_t group = job.candidates.group(span);
  Search& search = job.searches[group];
  uint4* bins = reinterpret_cast<uint4*>(job.bins + group * kBins + threadIdx.x * kMine);
  uint32_t mine[kMine];
  int64_t sum = 0;
#pragma unroll
  for (int i = 0; i < kMine; i += 4) {
    const uint4 four = __ldcg(&bins[i / 4]);
    bins[i / 4] = {};
    mine[i] = four.x, mine[i + 1] = four.y, mine[i + 2] = four.z, mine[i + 3] = four.w;
    sum += int64_t{four.x} + four.y + four.z + four.w;
  }
  int64_t wanted = kPass == 0 ? job.k[group] : search.wanted;
  const uint32_t found = kPass == 0 ? 0 : search.order;
  const Prefix prefix = prefix_of_block(sum);
  wanted = max(int64_t{0}, min(wanted, prefix.total));
  if (kPass == 0 && threadIdx.x == 0) {
    if (wanted == 0) search = {};
    if (job.outputs.select != nullptr) write_counts(job, group, prefix.total);
  }
  if (kPass == 0 && job.outputs.select != nullptr) write_nonfinite(job, span);
  if (wanted <= prefix.before || wanted > prefix.before + sum) return;
  wanted -= prefix.before;
  uint32_t digit = threadIdx.x * kMine;
  uint32_t equal = 0;
#pragma unroll
  for (int i = 0; i < kMine; ++i) {
    if (equal != 0) continue;
    if (wanted <= mine[i]) {
      equal = mine[i];
    } else {
      wanted -= mine[i];
      ++digit;
    }
  }
  // Where all equal ones are selected, any index behind the last does.
  const bool all = kPass == 2 && wanted == equal && job.outputs.select == nullptr;
  search = {all ? 0 : wanted, all ? INT64_MAX : 0, found << kDigitBits | digit, 0};
}

}  // namespace dsr::cuda
