// Small kernels for tests/test_cuda_emulator.py, each in a right version and in one with a bug that
// the emulator must show. All read and write `data`: kBlocks stretches of kThreads numbers.

#include <map>
#include <string>

#include "common/bits.h"
#include "cuda/launch.h"

namespace {

constexpr int kThreads = 96;
constexpr int kBlocks = 5;
constexpr unsigned kAll = 0xFFFFFFFFu;

__device__ int* mine(int* data) { return data + blockIdx.x * kThreads; }

template <bool kRight>
__global__ void __launch_bounds__(kThreads) reverse(int* data) {
  __shared__ int values[kThreads];
  const int t = threadIdx.x;
  values[t] = mine(data)[t];
  if (kRight) __syncthreads();
  mine(data)[t] = values[kThreads - 1 - t];
}

template <bool kRight>
__global__ void rotate_in_warps(int* data) {
  __shared__ int values[kThreads];
  const int t = threadIdx.x;
  values[t] = mine(data)[t];
  if (kRight) __syncwarp();
  mine(data)[t] = values[t / 32 * 32 + (t + 1) % 32];
}

template <bool kRight>
__global__ void count_odd(int* data) {
  __shared__ int count;
  if (kRight && threadIdx.x == 0) count = 0;
  __syncthreads();
  atomicAdd(&count, mine(data)[threadIdx.x] & 1);
  __syncthreads();
  mine(data)[threadIdx.x] = count;
}

template <bool kRight>
__global__ void branch_around_a_barrier(int* data) {
  __shared__ int first;
  const bool inside = threadIdx.x < 40;
  if (threadIdx.x == 0) first = mine(data)[0];
  if (kRight || inside) __syncthreads();
  mine(data)[threadIdx.x] = first;
}

template <bool kRight>
__global__ void leave_before_a_shuffle(int* data) {
  const int t = threadIdx.x;
  if (!kRight && t % 32 == 7) return;
  mine(data)[t] = __shfl_sync(kAll, mine(data)[t], 3);
}

template <bool kRight>
__global__ void vote_beside_a_shuffle(int* data) {
  const int t = threadIdx.x;
  const int value = mine(data)[t];
  if (kRight || t % 2) {
    mine(data)[t] = __shfl_xor_sync(kAll, value, 1);
  } else {
    mine(data)[t] = __any_sync(kAll, value);
  }
}

template <bool kRight>
__global__ void shuffle_with_half_a_warp(int* data) {
  const int t = threadIdx.x;
  mine(data)[t] = __shfl_sync(kRight ? kAll : 0xFFFFu, mine(data)[t], 0);
}

// The last block to finish adds up what all have written. The bug: it is taken for the one with
// the last number.
template <bool kRight>
__global__ void add_in_the_last_block(int* data, int* counter) {
  __shared__ bool last;
  const int t = threadIdx.x;
  const int sum = __syncthreads_count(mine(data)[t] & 1);
  if (t == 0) {
    mine(data)[0] = sum;
    __threadfence();
    const int ticket = atomicAdd(counter, 1);
    last = kRight ? ticket == kBlocks - 1 : blockIdx.x == kBlocks - 1;
    if (ticket == kBlocks - 1) *counter = 0;
  }
  __syncthreads();
  if (!last || t != 0) return;
  int total = 0;
  for (int block = 0; block < kBlocks; ++block) total += __ldcg(&data[block * kThreads]);
  data[1] = total;
}

// A block's number is the order in which it starts. The bug: it waits for the block numbered one
// less, which may start after it.
template <bool kRight>
__global__ void wait_for_the_block_before(int* data, int* counter) {
  __shared__ int number;
  if (threadIdx.x == 0) {
    number = kRight ? atomicAdd(&counter[1], 1) : static_cast<int>(blockIdx.x);
    while (atomicAdd(&counter[0], 0) < number) __nanosleep(20);
    atomicAdd(&counter[0], 1);
    if (number == kBlocks - 1) counter[0] = counter[1] = 0;
  }
  __syncthreads();
  data[number * kThreads + threadIdx.x] = number;
}

template <bool kRight>
__global__ void count_without_an_atomic(int* data) {
  __shared__ unsigned count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  if (kRight) {
    atomicAdd(&count, 1u);
  } else {
    const unsigned before = *const_cast<volatile unsigned*>(&count);
    atomicExch(&count, before + 1);
  }
  __syncthreads();
  mine(data)[threadIdx.x] = static_cast<int>(count);
}

template <bool kRight>
__global__ void load_four_at_once(int* data) {
  const int t = threadIdx.x;
  const int4 four = *reinterpret_cast<const int4*>(mine(data) + t / 4 * 4 + (kRight ? 0 : 1));
  __syncthreads();
  mine(data)[t] = four.x;
}

template <bool kRight>
__global__ void beyond_an_array(int* data) {
  __shared__ int values[kThreads];
  const int t = threadIdx.x;
  const int at = kRight ? t : t + 1;
  values[at] = mine(data)[t];
  mine(data)[t] = values[at];
}

template <bool kRight>
__global__ void beyond_the_data(int* data) {
  const int far = data[kRight ? 0 : kBlocks * kThreads + 4];
  if (far == -1) mine(data)[threadIdx.x] = 0;
}

// Every intrinsic between lanes: a bit for each that is right.
__global__ void warp_intrinsics(int* data) {
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const uint64_t wide = (uint64_t{1} << 40) + lane;
  int right = 0;
  right |= (__shfl_sync(kAll, lane + warp, 5) == 5 + warp) << 0;
  right |= (__shfl_sync(kAll, lane, 9, 8) == lane / 8 * 8 + 1) << 1;
  right |= (__shfl_xor_sync(kAll, wide, 3) == (uint64_t{1} << 40) + (lane ^ 3)) << 2;
  right |= (__shfl_down_sync(kAll, lane, 4u) == (lane < 28 ? lane + 4 : lane)) << 3;
  right |= (__shfl_up_sync(kAll, lane, 4u, 16) == (lane % 16 < 4 ? lane : lane - 4)) << 4;
  right |= (__ballot_sync(kAll, lane % 3 == 0) == 0x49249249u) << 5;
  right |= (__any_sync(kAll, lane == 31) == 1 && __any_sync(kAll, 0) == 0) << 6;
  right |= (__all_sync(kAll, lane < 32) == 1 && __all_sync(kAll, lane) == 0) << 7;
  right |= (__reduce_add_sync(kAll, lane) == 496) << 8;
  right |= (__reduce_max_sync(kAll, -lane) == 0 && __reduce_min_sync(kAll, -lane) == -31) << 9;
  right |= (__reduce_or_sync(kAll, 1u << lane) == kAll) << 10;
  right |= (__syncthreads_or(threadIdx.x == 95) == 1 && __syncthreads_or(0) == 0) << 11;
  right |= (__syncthreads_count(threadIdx.x < 70) == 70) << 12;
  right |= (__popc(0xF0F0u) == 8 && __ffs(8) == 4 && __clz(1) == 31 && __clz(0) == 32) << 13;
  right |= (__umulhi(0x80000000u, 6u) == 3u) << 14;
  mine(data)[threadIdx.x] = right;
}

using Kernel = void (*)(int*);
using CountingKernel = void (*)(int*, int*);

template <bool kRight>
void run(const std::string& name, int* data, int* counter) {
  const std::map<std::string, Kernel> kernels = {
      {"reverse", reverse<kRight>},
      {"rotate_in_warps", rotate_in_warps<kRight>},
      {"count_odd", count_odd<kRight>},
      {"branch_around_a_barrier", branch_around_a_barrier<kRight>},
      {"leave_before_a_shuffle", leave_before_a_shuffle<kRight>},
      {"vote_beside_a_shuffle", vote_beside_a_shuffle<kRight>},
      {"shuffle_with_half_a_warp", shuffle_with_half_a_warp<kRight>},
      {"count_without_an_atomic", count_without_an_atomic<kRight>},
      {"load_four_at_once", load_four_at_once<kRight>},
      {"beyond_an_array", beyond_an_array<kRight>},
      {"beyond_the_data", beyond_the_data<kRight>},
      {"warp_intrinsics", warp_intrinsics},
  };
  const std::map<std::string, CountingKernel> counting = {
      {"add_in_the_last_block", add_in_the_last_block<kRight>},
      {"wait_for_the_block_before", wait_for_the_block_before<kRight>},
  };
  if (kernels.count(name)) {
    dsr::cuda::launch(name.c_str(), kernels.at(name), kBlocks, kThreads, 0, data);
  } else {
    dsr::cuda::launch(name.c_str(), counting.at(name), kBlocks, kThreads, 0, data, counter);
  }
}

}  // namespace

// Returns what went wrong, or "".
extern "C" const char* run_planted(const char* name, int right, int* data, int* counter) {
  static std::string text;
  text = "";
  try {
    right ? run<true>(name, data, counter) : run<false>(name, data, counter);
  } catch (const std::exception& error) {
    text = error.what();
  }
  return text.c_str();
}
