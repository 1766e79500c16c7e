// layer_mean on a GPU: each layer's mean magnitude over its active units, in fixed point.
//
// Two launches: the largest magnitude of all layers, which sets the scale, then the sums. A layer's
// last block adds up those of its chunks.
//
// Moves: every strip with an active unit in, twice, and one bit a unit. Maxima and sums of integers
// do not depend on the order of the blocks.

#include "common/fixed_point.h"
#include "cuda/last_block.h"
#include "cuda/launch.h"
#include "cuda/launchers.h"
#include "cuda/reduce.h"
#include "cuda/strips.h"

namespace dsr::cuda {
namespace {

// A chunk's sum stays below 2^46 and its active units below 2^16: one word holds both.
constexpr int kSumBits = 48;

template <typename Visit>
__device__ void visit_active(const Span& span, const uint32_t* words, const Visit& visit) {
  const uint32_t* layer_words = words + span.shape.word_offset;
  with_keys(span, [&](const auto& reader) {
    visit_strips(
        reader, span, [&](int64_t index) { return layer_words[index]; },
        [&](int64_t, uint32_t, uint32_t active, const uint32_t (&keys)[kStrip]) {
          visit(active, keys);
        });
  });
}

__global__ void __launch_bounds__(kStripThreads, kStripBlocks)
    largest_key_kernel(const __grid_constant__ LayerTensors tensors, Chunks chunks,
                       const int64_t* table, const uint32_t* words, uint32_t* largest) {
  const Span span = read_span(tensors, chunks, table, tensors.first_chunk + blockIdx.x);
  uint32_t found = 0;
  visit_active(span, words, [&](uint32_t active, const uint32_t (&keys)[kStrip]) {
#pragma unroll
    for (int j = 0; j < kStrip; ++j) {
      if ((active >> j & 1u) && keys[j] < kInfKey && keys[j] > found) found = keys[j];
    }
  });
  found = largest_of_block(found);
  if (threadIdx.x == 0 && found > 0) atomicMax(largest, found);
}

__global__ void __launch_bounds__(kStripThreads, kStripBlocks)
    layer_mean_kernel(const __grid_constant__ LayerTensors tensors, Chunks chunks,
                      const int64_t* table, const uint32_t* words, const uint32_t* largest,
                      int32_t* counters, uint64_t* sums, int64_t* mean) {
  const int64_t chunk = tensors.first_chunk + blockIdx.x;
  const Span span = read_span(tensors, chunks, table, chunk);
  const int scale = *largest > 0 ? scale_of(*largest) : 0;  // if 0, so are all others
  uint64_t found = 0;
  visit_active(span, words, [&](uint32_t active, const uint32_t (&keys)[kStrip]) {
#pragma unroll
    for (int j = 0; j < kStrip; ++j) {
      if ((active >> j & 1u) && keys[j] < kInfKey) found += fixed_point(keys[j], scale);
    }
    found += static_cast<uint64_t>(__popc(active)) << kSumBits;
  });
  found = sum_of_block(found);
  if (threadIdx.x == 0) sums[chunk] = found;
  const int64_t blocks = chunks.count_of(span.layer);
  if (!is_last_block(counters + span.layer, blocks)) return;
  int64_t sum = 0;
  int64_t active = 0;
  for (int64_t c = threadIdx.x; c < blocks; c += kStripThreads) {
    const uint64_t both = __ldcg(&sums[chunks.first_of[span.layer] + c]);
    sum += both & ((uint64_t{1} << kSumBits) - 1);
    active += both >> kSumBits;
  }
  sum = sum_of_block(sum);
  active = sum_of_block(active);
  if (threadIdx.x == 0) mean[span.layer] = sum / max(active, int64_t{1});
}

}  // namespace

void layer_mean(const std::vector<Buffer>& tensors, const Buffer& words, const Buffer& table,
                const Buffer& mean, const ChunkPlan& plan, const Buffer& counters,
                const Buffer& sums, uintptr_t stream) {
  constexpr const char* kOp = "layer_mean";
  const Chunks chunks = as_chunks(plan);
  require_chunk_units(kOp, chunks, kMaxChunkUnits);
  uint32_t* largest = counters.as<uint32_t>();
  for_each_stretch(tensors, plan, [&](const LayerTensors& stretch, int64_t blocks) {
    launch(kOp, largest_key_kernel, blocks, kStripThreads, stream, stretch, chunks,
           table.as<int64_t>(), words.as<uint32_t>(), largest);
  });
  for_each_stretch(tensors, plan, [&](const LayerTensors& stretch, int64_t blocks) {
    launch(kOp, layer_mean_kernel, blocks, kStripThreads, stream, stretch, chunks,
           table.as<int64_t>(), words.as<uint32_t>(), largest, counters.as<int32_t>() + 1,
           sums.as<uint64_t>(), mean.as<int64_t>());
  });
}

}  // namespace dsr::cuda
