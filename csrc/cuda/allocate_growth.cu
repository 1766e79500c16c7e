// allocate_growth on a GPU: adapts the threshold, then splits the pruned units over the layers.
//
// One block, one launch: a few integers a layer. A round gives each layer the floor of its part,
// and one more to the largest remainders: the cut between them is found bit by bit, by counting.
// No product leaves an int64, because both of its factors are at most 3e9. Sums and counts of
// integers do not depend on the order of the threads.

#include "common/host_device.h"
#include "cuda/launch.h"
#include "cuda/launchers.h"
#include "cuda/reduce.h"

namespace dsr::cuda {
namespace {

constexpr int kThreads = kStripThreads;  // what cuda/reduce.h adds over
constexpr int64_t kMaxTotalUnits = 3'000'000'000;
constexpr float kLowestThreshold = 0x1p-126f;
constexpr float kHighestThreshold = 0x1p126f;

struct Split {
  const int64_t* shares;
  int64_t* grown;
  int64_t* room;
  int64_t* remainders;
  int64_t layers;
};

__device__ int64_t clamped(int64_t count) { return min(max(count, int64_t{0}), kMaxTotalUnits); }

// The sum of value(i) over all layers, in every thread. A thread has the same layers everywhere.
template <typename Value>
__device__ int64_t sum_of(int64_t layers, const Value& value) {
  int64_t sum = 0;
  for (int64_t i = threadIdx.x; i < layers; i += kThreads) sum += value(i);
  return sum_of_block(sum);
}

template <typename Holds>
__device__ int64_t count_of(int64_t layers, const Holds& holds) {
  int64_t count = 0;
  for (int64_t begin = 0; begin < layers; begin += kThreads) {
    const int64_t i = begin + threadIdx.x;
    count += __syncthreads_count(i < layers && holds(i));
  }
  return count;
}

// The largest number below 2^bits for which `holds`: it does for 0, and for nothing above a number
// for which it does not.
template <typename Holds>
__device__ int64_t largest_where(int bits, const Holds& holds) {
  int64_t found = 0;
  for (int bit = bits - 1; bit >= 0; --bit) {
    const int64_t tried = found | int64_t{1} << bit;
    if (holds(tried)) found = tried;
  }
  return found;
}

__device__ int bits_for(int64_t value) { return 64 - __clzll(value); }

__device__ void adapt(float* threshold, int64_t total, int64_t lower, int64_t upper) {
  float value = *threshold;
  if (total > upper) {
    value *= 0.5f;
  } else if (total < lower) {
    value *= 2.0f;
  }
  // A NaN is below everything here.
  if (!(value >= kLowestThreshold)) value = kLowestThreshold;
  if (!(value <= kHighestThreshold)) value = kHighestThreshold;
  *threshold = value;
}

// Places for up to `remaining` units in proportion to weight(i), whose sum is `whole` > 0: the
// floors, then one each by largest remainder, the lower layer first, all of it at most the room.
// Returns how many found one.
template <typename Weight>
__device__ int64_t split_once(const Split& split, int64_t remaining, int64_t whole,
                              const Weight& weight) {
  const uint64_t divisor = static_cast<uint64_t>(whole);
  const auto quota = [&](int64_t i) {
    return static_cast<int64_t>(static_cast<uint64_t>(weight(i) * remaining) / divisor);
  };
  const int64_t floors = sum_of(split.layers, [&](int64_t i) {
    const int64_t floor = quota(i);
    split.remainders[i] = weight(i) * remaining - floor * whole;
    return floor;
  });
  const int64_t left = remaining - floors;
  const int64_t cut = largest_where(bits_for(whole), [&](int64_t value) {
    return count_of(split.layers, [&](int64_t i) { return split.remainders[i] >= value; }) >= left;
  });
  const int64_t above =
      count_of(split.layers, [&](int64_t i) { return split.remainders[i] > cut; });
  // Of the layers at the cut, those below this one get a unit.
  const int64_t end = largest_where(bits_for(split.layers), [&](int64_t layer) {
    return count_of(split.layers, [&](int64_t i) {
             return split.remainders[i] == cut && i < layer;
           }) <= left - above;
  });
  return sum_of(split.layers, [&](int64_t i) {
    const int64_t remainder = split.remainders[i];
    const bool one_more = remainder > cut || (remainder == cut && i < end);
    const int64_t taken = min(quota(i) + (one_more ? 1 : 0), split.room[i]);
    split.grown[i] += taken;
    split.room[i] -= taken;
    return taken;
  });
}

// Gives `remaining` units places in layers with room. Returns how many found none.
__device__ int64_t split_over_layers(const Split& split, int64_t remaining) {
  const auto room = [&](int64_t i) { return split.room[i]; };
  const auto share = [&](int64_t i) {
    return split.room[i] > 0 ? clamped(split.shares[i]) : int64_t{0};
  };
  while (remaining > 0) {
    const int64_t free = sum_of(split.layers, room);
    if (free == 0) break;
    const int64_t shares = sum_of(split.layers, share);
    remaining -= shares > 0 ? split_once(split, remaining, shares, share)
                            : split_once(split, remaining, free, room);
  }
  return remaining;
}

__global__ void __launch_bounds__(kThreads)
    allocate_growth_kernel(float* threshold, const int64_t* pruned, const int64_t* capacity,
                           int64_t lower, int64_t upper, const Split split) {
  const int64_t sum = sum_of(split.layers, [&](int64_t i) { return clamped(pruned[i]); });
  const int64_t total = min(sum, kMaxTotalUnits);
  if (threshold != nullptr && threadIdx.x == 0) adapt(threshold, total, lower, upper);
  for (int64_t i = threadIdx.x; i < split.layers; i += kThreads) {
    split.grown[i] = 0;
    split.room[i] = clamped(capacity[i]);
  }
  const int64_t left = split_over_layers(split, total);
  for (int64_t i = threadIdx.x; i < split.layers; i += kThreads) {
    split.room[i] = clamped(pruned[i]);
  }
  split_over_layers(split, left);
}

}  // namespace

void allocate_growth(const Buffer& threshold, const Buffer& pruned, const Buffer& shares,
                     const Buffer& capacity, int64_t lower, int64_t upper, const Buffer& grown,
                     const Buffer& scratch, uintptr_t stream) {
  const Split split = {shares.as<int64_t>(), grown.as<int64_t>(), scratch.as<int64_t>(),
                       scratch.as<int64_t>() + grown.size, grown.size};
  launch("allocate_growth", allocate_growth_kernel, 1, kThreads, stream,
         threshold.size > 0 ? threshold.as<float>() : nullptr, pruned.as<int64_t>(),
         capacity.as<int64_t>(), lower, upper, split);
}

}  // namespace dsr::cuda
