// reset_state_ on a GPU: +0.0 to every element of a unit in which two masks differ, all tensors in
// one launch.
//
// Moves: two bits a unit of each tensor in, the changed elements out; nothing else is read.
// zero_elements.h says who writes what, and why the result does not depend on the order of the
// blocks.

#include "cuda/launch.h"
#include "cuda/launchers.h"
#include "cuda/zero_elements.h"

namespace dsr::cuda {
namespace {

struct Changed {
  const uint32_t* words;
  const uint32_t* previous;

  __device__ uint32_t word(int64_t index) const { return words[index] ^ previous[index]; }
  __device__ Changed from(int64_t first) const { return {words + first, previous + first}; }
};

__global__ void __launch_bounds__(kZeroThreads)
    reset_state_kernel(const __grid_constant__ TensorBatch batch, const Changed changed,
                       const int64_t* table) {
  zero_elements(batch, changed, table);
}

}  // namespace

void reset_state(const std::vector<Buffer>& states, const std::vector<int64_t>& layers,
                 const Buffer& words, const Buffer& previous, const Buffer& table,
                 uintptr_t stream) {
  const Changed changed = {words.as<uint32_t>(), previous.as<uint32_t>()};
  for_each_batch(states, layers, kZeroElements, [&](const TensorBatch& batch, int64_t blocks) {
    launch("reset_state_", reset_state_kernel, blocks, kZeroThreads, stream, batch, changed,
           table.as<int64_t>());
  });
}

}  // namespace dsr::cuda
