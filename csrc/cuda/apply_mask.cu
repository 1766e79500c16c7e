// apply_mask_ on a GPU: +0.0 to every element of an inactive unit, all tensors in one launch.
//
// Moves: one bit a unit in, the inactive elements out; nothing else is read. Each element belongs
// to one thread, so the result does not depend on the order of the blocks.
//
// Where units are elements a warp takes 32 mask words (1024 elements): lane l loads word l, then
// step s stores elements 32 s .. 32 s + 31, lane j under bit j of word s.

#include "common/bits.h"
#include "common/layout.h"
#include "cuda/launch.h"
#include "cuda/launchers.h"
#include "cuda/tensor_batch.h"

namespace dsr::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarpElements = kWordBits * kWordBits;
constexpr int64_t kBlockElements = kThreads / kWordBits * kWarpElements;

template <typename T>
__device__ void mask_elements(T* data, int64_t elements, const uint32_t* words, int64_t start) {
  const int lane = threadIdx.x % kWordBits;
  const int64_t first = start + static_cast<int64_t>(threadIdx.x / kWordBits) * kWarpElements;
  const int64_t mine = first / kWordBits + lane;
  const uint32_t loaded = mine * kWordBits < elements ? words[mine] : kAllActive;
#pragma unroll 8
  for (int step = 0; step < kWordBits; ++step) {
    const uint32_t word = __shfl_sync(kAllActive, loaded, step);
    const int64_t element = first + step * kWordBits + lane;
    if (!((word >> lane) & 1u) && element < elements) data[element] = T{0};
  }
}

template <typename T>
__device__ void mask_groups(T* data, int64_t elements, const LayerShape& shape,
                            const uint32_t* words, int64_t start) {
  const int64_t end = min(elements, start + kBlockElements);
  for (int64_t element = start + threadIdx.x; element < end; element += kThreads) {
    if (!is_active(words, unit_of(element, shape))) data[element] = T{0};
  }
}

template <typename T>
__device__ void mask_block(const TensorEntry& entry, const LayerShape& shape, const uint32_t* words,
                           int64_t start) {
  T* data = static_cast<T*>(entry.data);
  if (shape.unit_size == 1) {
    mask_elements(data, entry.elements, words, start);
  } else {
    mask_groups(data, entry.elements, shape, words, start);
  }
}

__global__ void __launch_bounds__(kThreads)
    apply_mask_kernel(const __grid_constant__ TensorBatch batch, const uint32_t* words,
                      const int64_t* table) {
  const int64_t block = blockIdx.x;
  const TensorEntry& entry = find_entry(batch, block);
  const LayerShape shape = read_layer(table, entry.layer);
  const uint32_t* layer_words = words + shape.word_offset;
  const int64_t start = (block - entry.first_block) * kBlockElements;
  const int bytes = bytes_of(entry.dtype);
  if (bytes == 2) {
    mask_block<uint16_t>(entry, shape, layer_words, start);
  } else if (bytes == 4) {
    mask_block<uint32_t>(entry, shape, layer_words, start);
  } else {
    mask_block<uint64_t>(entry, shape, layer_words, start);
  }
}

}  // namespace

void apply_mask(const std::vector<Buffer>& tensors, const std::vector<int64_t>& layers,
                const Buffer& words, const Buffer& table, uintptr_t stream) {
  for_each_batch(tensors, layers, kBlockElements, [&](const TensorBatch& batch, int64_t blocks) {
    launch("apply_mask_", apply_mask_kernel, blocks, kThreads, stream, batch, words.as<uint32_t>(),
           table.as<int64_t>());
  });
}

}  // namespace dsr::cuda
