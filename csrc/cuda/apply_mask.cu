// apply_mask_ on a GPU: +0.0 to every element of an inactive unit, all tensors in one launch.
//
// Moves: one bit a unit in, the inactive elements out; nothing else is read. Each element belongs
// to one thread, so the result does not depend on the order of the blocks.
//
// Where units are elements a warp takes 32 mask words (1024 elements): lane l loads word l, then
// step s stores elements 32 s .. 32 s + 31, lane j under bit j of word s.

#include <algorithm>

#include "common/bits.h"
#include "common/layout.h"
#include "cuda/launch.h"
#include "cuda/launchers.h"

namespace dsr::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarpElements = kWordBits * kWordBits;
constexpr int64_t kBlockElements = kThreads / kWordBits * kWarpElements;
constexpr int kMaxTensors = 512;

struct Entry {
  void* data;
  int64_t elements;
  int64_t first_block;
  int32_t layer;
  int32_t element_bytes;
};

// A kernel parameter: at most 32,764 bytes.
struct Batch {
  Entry entries[kMaxTensors];
  int32_t count;
};
static_assert(sizeof(Batch) <= 32000, "kernel parameters are limited to 32,764 bytes");

__device__ const Entry& find_entry(const Batch& batch, int64_t block) {
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
__device__ void mask_block(const Entry& entry, const LayerShape& shape, const uint32_t* words,
                           int64_t start) {
  T* data = static_cast<T*>(entry.data);
  if (shape.unit_size == 1) {
    mask_elements(data, entry.elements, words, start);
  } else {
    mask_groups(data, entry.elements, shape, words, start);
  }
}

__global__ void __launch_bounds__(kThreads)
    apply_mask_kernel(const __grid_constant__ Batch batch, const uint32_t* words,
                      const int64_t* table) {
  const int64_t block = blockIdx.x;
  const Entry& entry = find_entry(batch, block);
  const LayerShape shape = read_layer(table, entry.layer);
  const uint32_t* layer_words = words + shape.word_offset;
  const int64_t start = (block - entry.first_block) * kBlockElements;
  if (entry.element_bytes == 2) {
    mask_block<uint16_t>(entry, shape, layer_words, start);
  } else if (entry.element_bytes == 4) {
    mask_block<uint32_t>(entry, shape, layer_words, start);
  } else {
    mask_block<uint64_t>(entry, shape, layer_words, start);
  }
}

}  // namespace

void apply_mask(const std::vector<Buffer>& tensors, const std::vector<int64_t>& layers,
                const Buffer& words, const Buffer& table, uintptr_t stream) {
  Batch batch;
  size_t next = 0;
  while (next < tensors.size()) {
    batch.count = 0;
    int64_t blocks = 0;
    for (; next < tensors.size() && batch.count < kMaxTensors; ++next) {
      const Buffer& tensor = tensors[next];
      if (tensor.size == 0) continue;
      batch.entries[batch.count++] = {tensor.data, tensor.size, blocks,
                                      static_cast<int32_t>(layers[next]),
                                      element_bytes(tensor.dtype)};
      blocks += (tensor.size + kBlockElements - 1) / kBlockElements;
    }
    if (blocks == 0) continue;
    apply_mask_kernel<<<static_cast<unsigned>(blocks), kThreads, 0, as_stream(stream)>>>(
        batch, words.as<uint32_t>(), table.as<int64_t>());
    check_launch("apply_mask_");
  }
}

}  // namespace dsr::cuda
