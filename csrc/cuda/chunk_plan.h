// The tables of dsr_kernels/cuda_plan.py as they come from Python.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "common/buffer.h"

namespace dsr::cuda {

// The layer of each chunk, the first chunk of each layer, the same on the host, units a chunk.
using ChunkPlan = std::tuple<Buffer, Buffer, std::vector<int64_t>, int64_t>;

// What cuda/order_search.h works in: counters that are 0 between calls, the searches, the chunks,
// and before these a scratch of 32-bit values: the entries that each warp of each chunk keeps
// (cuda/order_segments.h), how many each found, the ties of each chunk.
using SearchTables = std::tuple<Buffer, Buffer, Buffer, ChunkPlan>;

}  // namespace dsr::cuda
