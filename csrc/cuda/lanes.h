// How the units of a chunk are dealt out to the threads of a block.
#pragma once

#include <cstdint>

#include "common/bits.h"

namespace dsr::cuda {

constexpr int kLanes = 32;
constexpr uint32_t kAllLanes = 0xFFFFFFFFu;
constexpr int kStripThreads = 256;  // threads a block
constexpr int kStripBlocks = 4;     // blocks that fit on a multiprocessor: at most 64 registers
constexpr int kStrip = 4;           // units a thread
constexpr uint32_t kStripBits = (1u << kStrip) - 1;
constexpr int kWordLanes = kWordBits / kStrip;  // lanes that share a mask word
constexpr int64_t kWarpUnits = kLanes * kStrip;
constexpr int64_t kBlockUnits = kStripThreads * kStrip;
constexpr int64_t kMaxChunkUnits = 1 << 15;  // what kernels keep bits in shared memory for
constexpr int kMaxChunkWords = kMaxChunkUnits / kWordBits;

__device__ inline int lane() { return threadIdx.x % kLanes; }

// The mask word that this lane holds of the warp's four, where `first` is the warp's first unit.
__device__ inline int64_t word_of_lane(int64_t first) {
  return static_cast<uint64_t>(first) / kWordBits + lane() / kWordLanes;
}

}  // namespace dsr::cuda
