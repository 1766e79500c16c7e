// apply_mask_ on a GPU: +0.0 to every element of an inactive unit, all tensors in one launch.
//
// Moves: one bit a unit in, the inactive elements out; nothing else is read. zero_elements.h says
// who writes what, and why the result does not depend on the order of the blocks.

#include "cuda/launch.h"
#include "cuda/launchers.h"
#include "cuda/zero_elements.h"

namespace dsr::cuda {
namespace {

struct Inactive {
  const uint32_t* words;

  __device__ uint32_t word(int64_t index) const { return ~words[index]; }
  __device__ Inactive from(int64_t first) const { return {words + first}; }
};

__global__ void __launch_bounds__(kZeroThreads)
    apply_mask_kernel(const __grid_constant__ TensorBatch batch, const Inactive inactive,
                      const int64_t* table) {
  zero_elements(batch, inactive, table);
}

}  // namespace

void apply_mask(const std::vector<Buffer>& tensors, const std::vector<int64_t>& layers,
                const Buffer& words, const Buffer& table, uintptr_t stream) {
  const Inactive inactive = {words.as<uint32_t>()};
  for_each_batch(tensors, layers, kZeroElements, [&](const TensorBatch& batch, int64_t blocks) {
    launch("apply_mask_", apply_mask_kernel, blocks, kZeroThreads, stream, batch, inactive,
           table.as<int64_t>());
  });
}

}  // namespace dsr::cuda
