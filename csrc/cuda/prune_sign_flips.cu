// prune_sign_flips_ on a GPU: every active unit whose weight changed its sign becomes inactive, and
// the signs of the others are written down, all layers in one launch.
//
// Moves: every strip with an active weight once in, three bits a unit in and out, the pruned
// weights out. Every unit belongs to one thread, and the counts, which a layer's last block adds
// up, are integers: nothing depends on the order of the blocks.

#include "cuda/last_block.h"
#include "cuda/launch.h"
#include "cuda/launchers.h"
#include "cuda/reduce.h"
#include "cuda/strips.h"

namespace dsr::cuda {
namespace {

struct SignWords {
  uint32_t* active;
  uint32_t* positive;
  uint32_t* negative;

  __device__ SignWords from(int64_t first) const {
    return {active + first, positive + first, negative + first};
  }
};

struct Counts {
  int64_t* pruned;
  int64_t* surviving;
  int64_t* nonfinite;
};

// A chunk's counts are below 2^21: one word holds all three.
constexpr int kCountBits = 21;
static_assert(kMaxChunkUnits < int64_t{1} << kCountBits);

__device__ uint64_t packed(int pruned, int surviving, int nonfinite) {
  return static_cast<uint64_t>(pruned) | static_cast<uint64_t>(surviving) << kCountBits |
         static_cast<uint64_t>(nonfinite) << 2 * kCountBits;
}

__device__ int64_t unpacked(uint64_t counts, int index) {
  return counts >> index * kCountBits & ((uint64_t{1} << kCountBits) - 1);
}

// A bit for each weight of a strip. A NaN and a zero are neither positive nor negative.
struct Signs {
  uint32_t positive = 0;
  uint32_t negative = 0;
  uint32_t nonfinite = 0;
};

__device__ Signs signs_of(const uint32_t (&values)[kStrip]) {
  Signs signs;
#pragma unroll
  for (int j = 0; j < kStrip; ++j) {
    const uint32_t magnitude = Float32::magnitude(values[j]);
    const bool signed_number = magnitude != 0 && magnitude <= kInfKey;
    const uint32_t number = static_cast<uint32_t>(signed_number) << j;
    (magnitude == values[j] ? signs.positive : signs.negative) |= number;
    signs.nonfinite |= static_cast<uint32_t>(magnitude >= kInfKey) << j;
  }
  return signs;
}

// 128 units of a warp, from `first` on; `words` are those of this lane's mask word.
template <typename Reader>
__device__ uint64_t update_strip(const Reader& reader, int64_t first, int64_t end,
                                 const SignWords& layer, uint32_t active_word,
                                 uint32_t positive_word, uint32_t negative_word, uint32_t active,
                                 const uint32_t (&values)[kStrip], bool zero) {
  const Signs signs = signs_of(values);
  const uint32_t flipped = active & ((signs.negative & Reader::spread(positive_word)) |
                                     (signs.positive & Reader::spread(negative_word)));
  const uint32_t kept = active & ~flipped;
  if (zero) reader.zero(first, flipped);
  const uint32_t gone = Reader::gather(flipped);
  const uint32_t positive = Reader::gather(signs.positive & kept);
  const uint32_t negative = Reader::gather(signs.negative & kept);
  const int64_t index = word_of_lane(first);
  if (index * kWordBits < end) {
    if (gone != 0) store_word(layer.active, index, active_word & ~gone);
    if (positive != positive_word) store_word(layer.positive, index, positive);
    if (negative != negative_word) store_word(layer.negative, index, negative);
  }
  return packed(__popc(flipped), __popc(kept), __popc(active & signs.nonfinite));
}

// Goes over the span as visit_strips() does, with three masks; two strips at a time, which is what
// fits in 64 registers.
template <typename Reader>
__device__ uint64_t update_span(const Reader& reader, const Span& span, const SignWords& layer,
                                bool zero) {
  constexpr int kBatch = 2;
  constexpr int64_t kStep = kStripThreads * kStrip;
  uint64_t counts = 0;
  const int64_t warp = threadIdx.x / kLanes;
  for (int64_t at = span.begin + warp * kWarpUnits; at < span.end; at += kBatch * kStep) {
    uint32_t active[kBatch], positive[kBatch], negative[kBatch];
    uint32_t values[kBatch][kStrip];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int64_t index = word_of_lane(at + b * kStep);
      const bool inside = index * kWordBits < span.end;
      active[b] = inside ? layer.active[index] : 0;
      positive[b] = inside ? layer.positive[index] : 0;
      negative[b] = inside ? layer.negative[index] : 0;
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      reader.read(at + b * kStep, Reader::spread(active[b]), values[b]);
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      counts += update_strip(reader, at + b * kStep, span.end, layer, active[b], positive[b],
                             negative[b], Reader::spread(active[b]), values[b], zero);
    }
  }
  return counts;
}

__global__ void __launch_bounds__(kStripThreads, kStripBlocks)
    prune_sign_flips_kernel(const __grid_constant__ LayerTensors weights, Chunks chunks,
                            const int64_t* table, SignWords words, bool zero, int32_t* counters,
                            uint64_t* partials, Counts outputs) {
  const int64_t chunk = weights.first_chunk + blockIdx.x;
  const Span span = read_span(weights, chunks, table, chunk);
  uint64_t counts = 0;
  with_values(span, [&](const auto& reader) {
    counts = update_span(reader, span, words.from(span.shape.word_offset), zero);
  });
  counts = sum_of_block(counts);
  if (threadIdx.x == 0) partials[chunk] = counts;
  const int64_t blocks = chunks.count_of(span.layer);
  if (!is_last_block(counters + span.layer, blocks)) return;
  int64_t totals[3] = {};
  for (int64_t c = threadIdx.x; c < blocks; c += kStripThreads) {
    const uint64_t of_chunk = __ldcg(&partials[chunks.first_of[span.layer] + c]);
#pragma unroll
    for (int i = 0; i < 3; ++i) totals[i] += unpacked(of_chunk, i);
  }
#pragma unroll
  for (int i = 0; i < 3; ++i) totals[i] = sum_of_block(totals[i]);
  if (threadIdx.x != 0) return;
  outputs.pruned[span.layer] = totals[0];
  outputs.surviving[span.layer] = totals[1];
  outputs.nonfinite[span.layer] = totals[2];
}

}  // namespace

void prune_sign_flips(const std::vector<Buffer>& weights, const Buffer& words,
                      const Buffer& positive, const Buffer& negative, const Buffer& table,
                      bool zero, const Buffer& pruned, const Buffer& surviving,
                      const Buffer& nonfinite, const ChunkPlan& plan, const Buffer& counters,
                      const Buffer& partials, uintptr_t stream) {
  constexpr const char* kOp = "prune_sign_flips_";
  const Chunks chunks = as_chunks(plan);
  require_chunk_units(kOp, chunks, kMaxChunkUnits);
  const SignWords masks = {words.as<uint32_t>(), positive.as<uint32_t>(), negative.as<uint32_t>()};
  const Counts counts = {pruned.as<int64_t>(), surviving.as<int64_t>(), nonfinite.as<int64_t>()};
  for_each_stretch(weights, plan, [&](const LayerTensors& stretch, int64_t blocks) {
    launch(kOp, prune_sign_flips_kernel, blocks, kStripThreads, stream, stretch, chunks,
           table.as<int64_t>(), masks, zero, counters.as<int32_t>(), partials.as<uint64_t>(),
           counts);
  });
}

}  // namespace dsr::cuda
