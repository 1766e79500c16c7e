// Writing +0.0 to the elements that a mask word chooses, any list of tensors in one launch.
//
// Where units are elements a warp takes 32 mask words (1024 elements): lane l loads word l, then
// step s stores elements 32 s .. 32 s + 31, lane j under bit j of word s. Each element belongs to
// one thread, so the result does not depend on the order of the blocks.
#pragma once

#include "common/bits.h"
#include "common/layout.h"
#include "cuda/tensor_batch.h"

namespace dsr::cuda {

constexpr int kZeroThreads = 256;
constexpr int kWarpElements = kWordBits * kWordBits;
constexpr int64_t kZeroElements = kZeroThreads / kWordBits * kWarpElements;  // of a block

// `Chosen` gives, by the layer's word, the bits of the units to be zeroed.
template <typename T, typename Chosen>
__device__ void zero_strided(T* data, int64_t elements, const Chosen& chosen, int64_t start) {
  const int lane = threadIdx.x % kWordBits;
  const int64_t first = start + static_cast<int64_t>(threadIdx.x / kWordBits) * kWarpElements;
  const int64_t mine = first / kWordBits + lane;
  const uint32_t loaded = mine * kWordBits < elements ? chosen.word(mine) : 0;
#pragma unroll 8
  for (int step = 0; step < kWordBits; ++step) {
    const uint32_t word = __shfl_sync(kAllActive, loaded, step);
    const int64_t element = first + step * kWordBits + lane;
    if (((word >> lane) & 1u) && element < elements) data[element] = T{0};
  }
}

template <typename T, typename Chosen>
__device__ void zero_groups(T* data, int64_t elements, const LayerShape& shape,
                            const Chosen& chosen, int64_t start) {
  const int64_t end = min(elements, start + kZeroElements);
  for (int64_t element = start + threadIdx.x; element < end; element += kZeroThreads) {
    const int64_t unit = unit_of(element, shape);
    if ((chosen.word(unit / kWordBits) >> (unit % kWordBits)) & 1u) data[element] = T{0};
  }
}

template <typename T, typename Chosen>
__device__ void zero_block(const TensorEntry& entry, const LayerShape& shape, const Chosen& chosen,
                           int64_t start) {
  T* data = static_cast<T*>(entry.data);
  if (shape.unit_size == 1) {
    zero_strided(data, entry.elements, chosen, start);
  } else {
    zero_groups(data, entry.elements, shape, chosen, start);
  }
}

// The work of one block. `chosen` is that of all layers.
template <typename Chosen>
__device__ void zero_elements(const TensorBatch& batch, const Chosen& chosen,
                              const int64_t* table) {
  const int64_t block = blockIdx.x;
  const TensorEntry& entry = find_entry(batch, block);
  const LayerShape shape = read_layer(table, entry.layer);
  const Chosen own = chosen.from(shape.word_offset);
  const int64_t start = (block - entry.first_block) * kZeroElements;
  const int bytes = bytes_of(entry.dtype);
  if (bytes == 2) {
    zero_block<uint16_t>(entry, shape, own, start);
  } else if (bytes == 4) {
    zero_block<uint32_t>(entry, shape, own, start);
  } else {
    zero_block<uint64_t>(entry, shape, own, start);
  }
}

}  // namespace dsr::cuda
