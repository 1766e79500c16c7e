// Sums, maxima and prefix sums over the threads of a block. All threads call them together; no two
// calls need a barrier between them.
#pragma once

#include <cstdint>

#include "cuda/lanes.h"

namespace dsr::cuda {

constexpr int kWarps = kStripThreads / kLanes;

struct Add {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

struct Larger {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};

template <typename T, typename Combine>
__device__ T reduce_warp(T value, Combine combine) {
  for (int apart = kLanes / 2; apart > 0; apart /= 2) {
    value = combine(value, __shfl_xor_sync(kAllLanes, value, apart));
  }
  return value;
}

// Every thread gets the result.
template <typename T, typename Combine>
__device__ T reduce_block(T value, Combine combine) {
  __shared__ T warps[kWarps];
  value = reduce_warp(value, combine);
  __syncthreads();
  if (lane() == 0) warps[threadIdx.x / kLanes] = value;
  __syncthreads();
  T result = warps[0];
  for (int warp = 1; warp < kWarps; ++warp) result = combine(result, warps[warp]);
  return result;
}

template <typename T>
__device__ T sum_of_block(T value) {
  return reduce_block(value, Add{});
}

template <typename T>
__device__ T largest_of_block(T value) {
  return reduce_block(value, Larger{});
}

// The sum over the threads before this one, and over all of them.
struct Prefix {
  int64_t before;
  int64_t total;
};

__device__ inline Prefix prefix_of_block(int64_t value) {
  __shared__ int64_t warps[kWarps];
  int64_t upto = value;
  for (int apart = 1; apart < kLanes; apart *= 2) {
    const int64_t other = __shfl_up_sync(kAllLanes, upto, apart);
    if (lane() >= apart) upto += other;
  }
  __syncthreads();
  if (lane() == kLanes - 1) warps[threadIdx.x / kLanes] = upto;
  __syncthreads();
  const int mine = threadIdx.x / kLanes;
  Prefix prefix = {upto - value, 0};
  for (int warp = 0; warp < kWarps; ++warp) {
    if (warp < mine) prefix.before += warps[warp];
    prefix.total += warps[warp];
  }
  return prefix;
}

}  // namespace dsr::cuda
