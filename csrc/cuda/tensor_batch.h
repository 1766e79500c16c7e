// Any list of tensors as one launch: which tensor, and where in it, a block works on.
#pragma once

#include <cstdint>
#include <vector>

#include "common/buffer.h"

namespace dsr::cuda {

constexpr int kMaxTensors = 512;

struct TensorEntry {
  void* data;
  int64_t elements;
  int64_t first_block;
  int32_t layer;
  DType dtype;
};

// A kernel parameter: a CUDA graph captures the pointers, and nothing is copied to the device.
struct TensorBatch {
  TensorEntry entries[kMaxTensors];
  int32_t count;
};
static_assert(sizeof(TensorBatch) <= 32000, "kernel parameters are limited to 32,764 bytes");

__device__ inline const TensorEntry& find_entry(const TensorBatch& batch, int64_t block) {
  int low = 0;
  int high = batch.count - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (batch.entries[middle].first_block <= block) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return batch.entries[low];
}

// Calls run(batch, blocks) until every tensor has had its blocks of `block_elements` elements.
template <typename Run>
void for_each_batch(const std::vector<Buffer>& tensors, const std::vector<int64_t>& layers,
                    int64_t block_elements, Run run) {
  TensorBatch batch;
  for (size_t next = 0; next < tensors.size();) {
    batch.count = 0;
    int64_t blocks = 0;
    for (; next < tensors.size() && batch.count < kMaxTensors; ++next) {
      const Buffer& tensor = tensors[next];
      if (tensor.size == 0) continue;
      batch.entries[batch.count++] = {tensor.data, tensor.size, blocks,
                                      static_cast<int32_t>(layers[next]), tensor.dtype};
      blocks += (tensor.size + block_elements - 1) / block_elements;
    }
    if (blocks > 0) run(batch, blocks);
  }
}

}  // namespace dsr::cuda
