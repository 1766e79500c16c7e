// What prune_threshold_ and prune_smallest_ share: one launch that clears the bits of the units a
// cut selects, zeroes their weights and counts, and never empties a layer unless told to.
//
// A block whose chunk keeps no unit does not yet zero its largest: it may be what the layer keeps.
// The block that is the layer's last knows, sets that unit's bit again or zeroes it too, and adds
// up the counts. Every other unit is one thread's alone and the counts are integers, so nothing
// depends on the order of the blocks.
#pragma once

#include <cstdint>
#include <vector>

#include "common/select.h"
#include "cuda/last_block.h"
#include "cuda/launch.h"
#include "cuda/reduce.h"
#include "cuda/strips.h"

namespace dsr::cuda {

// Selected are the keys below `key`, and those equal to it whose unit lies before `tie`. What gives
// cuts says in kTies whether any has a tie.
struct Cut {
  uint32_t key;
  int64_t tie;
};

// What a chunk has found. No count exceeds kMaxChunkUnits, so one word holds all three.
struct PruneCounts {
  static constexpr int kBits = 21;
  uint64_t packed = 0;

  __device__ static PruneCounts of(uint64_t pruned, uint64_t surviving, uint64_t nonfinite) {
    return {pruned | surviving << kBits | nonfinite << 2 * kBits};
  }
  __device__ int64_t at(int index) const { return packed >> index * kBits & ((1u << kBits) - 1); }
  __device__ int64_t pruned() const { return at(0); }
  __device__ int64_t surviving() const { return at(1); }
  __device__ int64_t nonfinite() const { return at(2); }
};

// Orders units as pruning spares them: the largest key, then the lowest index. 0 is none.
__device__ inline uint64_t candidate_of(uint32_t key, int64_t unit) {
  return static_cast<uint64_t>(key) << 32 | ~static_cast<uint32_t>(unit);
}
__device__ inline int64_t unit_of_candidate(uint64_t candidate) {
  return ~static_cast<uint32_t>(candidate);
}

// [chunks, 2]: packed counts, and the largest unit of a chunk that keeps none.
struct PruneOutputs {
  uint64_t* partials;
  int32_t* counters;  // [layers]
  int64_t* pruned;
  int64_t* surviving;
  int64_t* nonfinite;
};

// This lane's units that a cut selects, those without a mask bit included: a bit a unit. Any
// magnitude of a NaN lies beyond every cut.
template <bool kTies, typename Reader>
__device__ uint32_t selected_units(const Reader& reader, const Cut& cut, int64_t first,
                                   const uint32_t (&magnitudes)[kStrip]) {
  const int ties = kTies ? static_cast<int>(max(int64_t{0}, min(cut.tie - first, kWarpUnits))) : 0;
  uint32_t selected = 0;
#pragma unroll
  for (int j = 0; j < kStrip; ++j) {
    const uint32_t limit = kTies ? cut.key + (reader.place(j) < ties ? 1 : 0) : cut.key;
    selected |= static_cast<uint32_t>(magnitudes[j] < limit) << j;
  }
  return selected;
}

__device__ inline int count_nonfinite(uint32_t active, const uint32_t (&magnitudes)[kStrip]) {
  // Mostly all of a strip's numbers together have no exponent of ones.
  uint32_t together = 0;
#pragma unroll
  for (int j = 0; j < kStrip; ++j) together |= magnitudes[j];
  if (together < kInfKey) return 0;
  int count = 0;
#pragma unroll
  for (int j = 0; j < kStrip; ++j) count += (active >> j & 1u) && magnitudes[j] >= kInfKey;
  return count;
}

// Clears the bits of the selected units; leaves them in `gone`, a word for each of the chunk's, 0
// before. Returns this thread's counts.
template <bool kTies, typename Reader>
__device__ PruneCounts clear_selected(const Reader& reader, const Span& span, const Cut& cut,
                                      uint32_t* layer_words, uint32_t* gone) {
  int pruned = 0, active_before = 0, nonfinite = 0;
  const auto active_word = [&](int64_t index) { return layer_words[index]; };
  visit_strips(
      reader, span, active_word,
      [&](int64_t first, uint32_t word, uint32_t active, const uint32_t (&magnitudes)[kStrip]) {
        active_before += __popc(active);
        nonfinite += count_nonfinite(active, magnitudes);
        const uint32_t selected = active & selected_units<kTies>(reader, cut, first, magnitudes);
        if (!__any_sync(kAllLanes, selected)) return;
        pruned += __popc(selected);
        const uint32_t gone_word = reader.gather(selected);
        const int64_t index = word_of_lane(first);
        if (gone_word == 0) return;
        store_word(gone, index - span.begin / kWordBits, gone_word);
        store_word(layer_words, index, word & ~gone_word);
      });
  return PruneCounts::of(pruned, active_before - pruned, nonfinite);
}

// The largest unit with a bit in `gone`, a lane a unit or a warp a group. Few chunks lose all of
// their units, so their keys are read again rather than compared in every chunk.
template <typename Type>
__device__ uint64_t largest_gone(const Span& span, const uint32_t* gone) {
  const auto* data = static_cast<const typename Type::Stored*>(span.data);
  const float reciprocal = reciprocal_of(span.shape.unit_size);
  const int64_t words = words_for(span.end - span.begin);
  uint64_t largest = 0;
  for (int64_t w = threadIdx.x / kLanes; w < words; w += kWarps) {
    const int64_t first = span.begin + w * kWordBits;
    if (span.shape.unit_size == 1) {
      if (!(gone[w] >> lane() & 1u)) continue;
      const uint32_t key = key_of(Type::magnitude(data[first + lane()]));
      largest = max(largest, candidate_of(key, first + lane()));
      continue;
    }
    for (uint32_t left = gone[w]; left != 0; left &= left - 1) {
      const int64_t unit = first + __ffs(static_cast<int>(left)) - 1;
      const uint32_t key = warp_group_key<Type>(data, span.shape, unit, reciprocal);
      largest = max(largest, candidate_of(key, unit));
    }
  }
  return largest_of_block(largest);
}

// Takes the largest unit of a chunk that keeps none out of `gone`.
__device__ inline uint64_t defer_largest(const Span& span, uint32_t* gone) {
  uint64_t largest;
  if (span.dtype == DType::kFloat32) {
    largest = largest_gone<Float32>(span, gone);
  } else if (span.dtype == DType::kBFloat16) {
    largest = largest_gone<BFloat16>(span, gone);
  } else {
    largest = largest_gone<Float16>(span, gone);
  }
  const int64_t place = unit_of_candidate(largest) - span.begin;
  if (threadIdx.x == 0) gone[place / kWordBits] &= ~(1u << place % kWordBits);
  __syncthreads();
  return largest;
}

// Zeroes the units of a chunk with a bit in `gone`, a lane a unit.
__device__ inline void zero_gone(const Span& span, const uint32_t* gone) {
  const int64_t words = words_for(span.end - span.begin);
  for (int64_t w = threadIdx.x / kLanes; w < words; w += kWarps) {
    if (gone[w] >> lane() & 1u) zero_unit(span, span.begin + w * kWordBits + lane());
  }
}

// By the layer's last block.
__device__ inline void finish_layer(const Span& span, int64_t first_chunk, int64_t chunks,
                                    bool zero, bool keep_one, uint32_t* layer_words,
                                    const PruneOutputs& outputs) {
  const uint64_t* partials = outputs.partials + 2 * first_chunk;
  int64_t pruned = 0, surviving = 0, nonfinite = 0;
  uint64_t largest = 0;
  for (int64_t c = threadIdx.x; c < chunks; c += kStripThreads) {
    const PruneCounts counts = {__ldcg(&partials[2 * c])};
    pruned += counts.pruned();
    surviving += counts.surviving();
    nonfinite += counts.nonfinite();
    largest = max(largest, __ldcg(&partials[2 * c + 1]));
  }
  pruned = sum_of_block(pruned);
  surviving = sum_of_block(surviving);
  nonfinite = sum_of_block(nonfinite);
  largest = keep_one ? largest_of_block(largest) : 0;
  const bool spared = surviving == 0 && largest != 0;
  for (int64_t c = threadIdx.x; zero && keep_one && c < chunks; c += kStripThreads) {
    const uint64_t candidate = __ldcg(&partials[2 * c + 1]);
    if (candidate == 0 || (spared && candidate == largest)) continue;
    zero_unit(span, unit_of_candidate(candidate));
  }
  if (threadIdx.x != 0) return;
  const int64_t unit = unit_of_candidate(largest);
  if (spared) atomicOr(layer_words + unit / kWordBits, 1u << unit % kWordBits);
  outputs.pruned[span.layer] = pruned - spared;
  outputs.surviving[span.layer] = surviving + spared;
  outputs.nonfinite[span.layer] = nonfinite;
}

template <typename CutOf>
__device__ PruneCounts prune_chunk(const Span& span, CutOf cut_of, uint32_t* words,
                                   uint32_t* gone) {
  Cut cut = cut_of(span);
  cut.key = min(cut.key, kInfKey + 1);  // no NaN is selected
  for (int w = threadIdx.x; w < words_for(span.end - span.begin); w += kStripThreads) gone[w] = 0;
  __syncthreads();
  PruneCounts counts = {};
  with_magnitudes(span, [&](const auto& reader) {
    counts = clear_selected<CutOf::kTies>(reader, span, cut, words + span.shape.word_offset, gone);
  });
  return {sum_of_block(counts.packed)};
}

template <typename CutOf>
__global__ void __launch_bounds__(kStripThreads, kStripBlocks)
    prune_kernel(const __grid_constant__ LayerTensors weights, Chunks chunks, const int64_t* table,
                 uint32_t* words, CutOf cut_of, bool zero, bool keep_one, PruneOutputs outputs) {
  __shared__ uint32_t gone[kMaxChunkWords];
  const int64_t chunk = weights.first_chunk + blockIdx.x;
  const PruneCounts counts =
      prune_chunk(read_span(weights, chunks, table, chunk), cut_of, words, gone);
  // Read again, from the cache, rather than kept in registers all the while.
  const Span span = read_span(weights, chunks, table, chunk);
  const bool defer = keep_one && counts.surviving() == 0 && counts.pruned() > 0;
  const uint64_t largest = defer ? defer_largest(span, gone) : 0;
  if (zero && counts.pruned() > 0) zero_gone(span, gone);
  if (threadIdx.x == 0) {
    outputs.partials[2 * chunk] = counts.packed;
    outputs.partials[2 * chunk + 1] = largest;
  }
  const int64_t blocks = chunks.count_of(span.layer);
  if (!is_last_block(outputs.counters + span.layer, blocks)) return;
  finish_layer(span, chunks.first_of[span.layer], blocks, zero, keep_one,
               words + span.shape.word_offset, outputs);
}

template <typename CutOf>
void prune(const char* op, const std::vector<Buffer>& weights, const Buffer& words,
           const Buffer& table, const ChunkPlan& plan, CutOf cut_of, bool zero, bool keep_one,
           const PruneOutputs& outputs, uintptr_t stream) {
  const Chunks chunks = as_chunks(plan);
  require_chunk_units(op, chunks, kMaxChunkUnits);
  for_each_stretch(weights, plan, [&](const LayerTensors& stretch, int64_t blocks) {
    launch(op, prune_kernel<CutOf>, blocks, kStripThreads, stream, stretch, chunks,
           table.as<int64_t>(), words.as<uint32_t>(), cut_of, zero, keep_one, outputs);
  });
}

}  // namespace dsr::cuda
