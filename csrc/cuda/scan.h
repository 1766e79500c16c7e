// Prefix sums by one block, and searching in them.
#pragma once

#include <cstdint>

#include "common/bits.h"

namespace dsr::cuda {

using Sum = unsigned long long;

// The sum of `value` over the lanes up to this one.
template <typename T>
__device__ T warp_prefix(T value) {
  const int lane = threadIdx.x % kWordBits;
  for (int distance = 1; distance < kWordBits; distance *= 2) {
    const T before = __shfl_up_sync(kAllActive, value, distance);
    if (lane >= distance) value += before;
  }
  return value;
}

// Calls store(i, load(0) + ... + load(i - 1)) for every i below `count`, and returns the whole sum
// to every thread. Every load(i) comes before store(i), by the same thread.
template <int kThreads, typename Load, typename Store>
__device__ Sum block_scan(int64_t count, const Load& load, const Store& store) {
  constexpr int kItems = 4;
  constexpr int kWarps = kThreads / kWordBits;
  __shared__ Sum warp_sums[kWarps];
  const int warp = threadIdx.x / kWordBits;
  Sum total = 0;
  for (int64_t begin = 0; begin < count; begin += kThreads * kItems) {
    const int64_t first = begin + threadIdx.x * kItems;
    Sum before[kItems];
    Sum own = 0;
    for (int j = 0; j < kItems; ++j) {
      before[j] = own;
      if (first + j < count) own += load(first + j);
    }
    const Sum up_to = warp_prefix(own);
    if (threadIdx.x % kWordBits == kWordBits - 1) warp_sums[warp] = up_to;
    __syncthreads();
    Sum start = total + up_to - own;
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) start += warp_sums[w];
      total += warp_sums[w];
    }
    for (int j = 0; j < kItems; ++j) {
      if (first + j < count) store(first + j, start + before[j]);
    }
    __syncthreads();
  }
  return total;
}

// The last index in [begin, end) for which `holds`: it does at `begin`, and nowhere behind an index
// for which it does not.
template <typename Holds>
__device__ int64_t last_where(int64_t begin, int64_t end, const Holds& holds) {
  while (end - begin > 1) {
    const int64_t middle = begin + (end - begin) / 2;
    if (holds(middle)) {
      begin = middle;
    } else {
      end = middle;
    }
  }
  return begin;
}

}  // namespace dsr::cuda
