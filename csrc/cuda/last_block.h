// Letting the block that finishes last go on with what all blocks have written, which spares a
// launch.
#pragma once

#include <cstdint>

namespace dsr::cuda {

// True in the last of `blocks` blocks that get here, which then sees what the others wrote to
// memory before, if it reads it past its own first-level cache (__ldcg, atomics). `counter` is 0
// before and after. All threads of a block call it together.
__device__ inline bool is_last_block(int32_t* counter, int64_t blocks) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(counter, 1) == static_cast<int32_t>(blocks - 1);
    if (last) *counter = 0;
  }
  __syncthreads();
  const bool mine = last;
  if (mine) __threadfence();
  return mine;
}

}  // namespace dsr::cuda
