// Which units a block works on. dsr_kernels/chunks.py makes the tables.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/buffer.h"
#include "common/host_device.h"
#include "common/layout.h"
#include "cuda/chunk_plan.h"

namespace dsr::cuda {

struct Chunks {
  const int32_t* layer_of;  // [chunks]
  const int64_t* first_of;  // [layers + 1]: each layer's first chunk
  int64_t chunk_units;      // a multiple of 128

  DSR_HOST_DEVICE int64_t begin(int64_t chunk, int64_t layer) const {
    return (chunk - first_of[layer]) * chunk_units;
  }
  DSR_HOST_DEVICE int64_t count_of(int64_t layer) const {
    return first_of[layer + 1] - first_of[layer];
  }
};

inline Chunks as_chunks(const Buffer& layer, const Buffer& first, int64_t chunk_units) {
  return {layer.as<int32_t>(), first.as<int64_t>(), chunk_units};
}

inline Chunks as_chunks(const ChunkPlan& plan) {
  return as_chunks(std::get<0>(plan), std::get<1>(plan), std::get<3>(plan));
}

// For kernels that keep something of every unit of a chunk in shared memory.
inline void require_chunk_units(const char* op, const Chunks& chunks, int64_t most) {
  if (chunks.chunk_units <= most) return;
  throw std::invalid_argument(std::string(op) + ": expected chunks of at most " +
                              std::to_string(most) + " units, got " +
                              std::to_string(chunks.chunk_units));
}

// For tables whose sizes Python and C++ both know.
inline void require_size(const char* op, const char* name, const Buffer& table, int64_t size) {
  if (table.size == size) return;
  throw std::invalid_argument(std::string(op) + ": expected " + std::to_string(size) +
                              " values of " + name + ", got " + std::to_string(table.size));
}

constexpr int kMaxLayerTensors = 512;

// One tensor a layer for a stretch of layers: a kernel parameter, so that a CUDA graph captures
// the pointers and nothing has to be copied to the device.
struct LayerTensors {
  void* data[kMaxLayerTensors];
  DType dtype[kMaxLayerTensors];
  int64_t first_layer;
  int64_t first_chunk;
};
static_assert(sizeof(LayerTensors) <= 32000, "kernel parameters are limited to 32,764 bytes");

// Calls run(tensors, chunks) for every stretch of layers; first_of is the table on the host.
template <typename Run>
void for_each_stretch(const std::vector<Buffer>& tensors, const std::vector<int64_t>& first_of,
                      Run run) {
  const int64_t layers = static_cast<int64_t>(tensors.size());
  LayerTensors stretch = {};
  for (int64_t begin = 0; begin < layers; begin += kMaxLayerTensors) {
    const int64_t end = std::min<int64_t>(layers, begin + kMaxLayerTensors);
    stretch.first_layer = begin;
    stretch.first_chunk = first_of[begin];
    for (int64_t i = begin; i < end; ++i) {
      stretch.data[i - begin] = tensors[i].data;
      stretch.dtype[i - begin] = tensors[i].dtype;
    }
    run(stretch, first_of[end] - first_of[begin]);
  }
}

template <typename Run>
void for_each_stretch(const std::vector<Buffer>& tensors, const ChunkPlan& plan, Run run) {
  for_each_stretch(tensors, std::get<2>(plan), run);
}

}  // namespace dsr::cuda
