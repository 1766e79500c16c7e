// The last launch of a search: which of the candidates of equal order are selected. See
// cuda/order_search.h.
//
// Moves: 4 bytes for each candidate with the first digit sought, 36 bytes a chunk; where there are
// too many such candidates, the strips with a candidate and one bit a unit; then one chunk a group
// again. A group whose search is over is left out.

#include "common/select.h"
#include "cuda/last_block.h"
#include "cuda/launch.h"
#include "cuda/order_job.h"
#include "cuda/reduce.h"

namespace dsr::cuda {
namespace {

// Marks those of the warp's segment. Its entries come in any order and by any lane.
__device__ int mark_entries(const Segment& segment, uint32_t sought, uint32_t* tied) {
  int count = 0;
  visit_entries(segment, [&](uint32_t bits, const uint32_t (&entries)[kStrip]) {
#pragma unroll
    for (int j = 0; j < kStrip; ++j) {
      if (!(bits >> j & 1u) || (entries[j] & kKeptMask) != (sought & kKeptMask)) continue;
      const int unit = unit_of_entry(entries[j]);
      atomicOr(&tied[unit / kWordBits], 1u << unit % kWordBits);
      ++count;
    }
  });
  return count;
}

// Marks those of the warp's units, read once more.
__device__ int mark_strips(const Span& span, const Candidates& candidates, uint32_t sought,
                           uint32_t* tied) {
  const auto wanted = [&](int64_t index) { return candidates.in_word(span, index); };
  int count = 0;
  with_magnitudes(span, [&](const auto& reader) {
    visit_strips(reader, span, wanted,
                 [&](int64_t first, uint32_t, uint32_t bits, const uint32_t (&magnitudes)[kStrip]) {
                   uint32_t orders[kStrip];
                   candidates.order(reader, span, first, magnitudes, orders);
                   uint32_t equal = 0;
#pragma unroll
                   for (int j = 0; j < kStrip; ++j)
                     equal |= static_cast<uint32_t>(orders[j] == sought) << j;
                   equal &= bits;
                   count += __popc(equal);
                   const uint32_t word = reader.gather(equal);
                   const int64_t index = word_of_lane(first);
                   if (index * kWordBits < span.end)
                     store_word(tied, index - span.begin / kWordBits, word);
                 });
  });
  return count;
}

// Marks the chunk's candidates of the order sought: a bit a unit. Returns how many they are.
__device__ int mark_ties(const Job& job, const Span& span, int64_t chunk, uint32_t sought,
                         uint32_t* tied) {
  const int64_t words = words_for(span.end - span.begin);
  for (int64_t w = threadIdx.x; w < words; w += kStripThreads) tied[w] = 0;
  __syncthreads();
  const Segment segment = job.segments.of_warp(chunk);
  return sum_of_block(segment.holds_all() ? mark_entries(segment, sought, tied)
                                          : mark_strips(span, job.candidates, sought, tied));
}

// The chunk of the group that holds tie number `wanted`, which becomes its number in the chunk.
__device__ int64_t find_chunk(const Job& job, int64_t first, int64_t chunks, int64_t& wanted) {
  __shared__ int64_t found, left;
  for (int64_t tile = 0; tile < chunks; tile += kStripThreads) {
    const int64_t c = tile + threadIdx.x;
    const int64_t count = c < chunks ? __ldcg(&job.ties[first + c]) : 0;
    const Prefix prefix = prefix_of_block(count);
    if (wanted <= prefix.total) {
      if (wanted > prefix.before && wanted <= prefix.before + count) {
        found = first + c;
        left = wanted - prefix.before;
      }
      break;
    }
    wanted -= prefix.total;
  }
  __syncthreads();
  wanted = left;
  return found;
}

// By the thread that has it: the unit of marked bit number `wanted`.
__device__ void write_tie(const Job& job, const Span& span, int64_t wanted, const uint32_t* tied) {
  constexpr int kMine = kMaxChunkWords / kStripThreads;
  const int64_t words = words_for(span.end - span.begin);
  const int64_t begin = threadIdx.x * kMine;
  int64_t count = 0;
  for (int64_t w = begin; w < min(begin + kMine, words); ++w) count += __popc(tied[w]);
  const Prefix prefix = prefix_of_block(count);
  if (wanted <= prefix.before || wanted > prefix.before + count) return;
  int rank = static_cast<int>(wanted - prefix.before) - 1;
  int64_t w = begin;
  for (; rank >= __popc(tied[w]); ++w) rank -= __popc(tied[w]);
  const int64_t unit = span.begin + w * kWordBits + select_bit(tied[w], rank);
  const int64_t group = job.candidates.group(span);
  const int64_t tie = job.candidates.base(span) + unit + 1;
  job.searches[group].tie = tie;
  if (job.outputs.select == nullptr) return;
  const uint32_t key = key_of_order(job.searches[group].order, job.candidates.largest);
  const bool last = job.candidates.largest && key == kNanKey;
  job.outputs.select[2 * group] = last ? -1 : static_cast<int64_t>(key);
  job.outputs.select[2 * group + 1] = tie;
}

__global__ void __launch_bounds__(kStripThreads, kStripBlocks)
    ties_kernel(const __grid_constant__ LayerTensors tensors, const __grid_constant__ Job job) {
  __shared__ uint32_t tied[kMaxChunkWords];
  int64_t chunk = tensors.first_chunk + blockIdx.x;
  Span span = read_span(tensors, job.chunks, job.table, chunk);
  const Search& search = job.searches[job.candidates.group(span)];
  const uint32_t sought = search.order;
  int64_t wanted = search.wanted;
  if (wanted == 0) return;
  // Once for the block's own chunk; and by the group's last block for the one with the unit.
  for (bool last = false;; last = true) {
    const int count = mark_ties(job, span, chunk, sought, tied);
    if (last) return write_tie(job, span, wanted, tied);
    if (threadIdx.x == 0) {
      job.ties[chunk] = count;
      if (span.begin == 0) {
        job.places[span.layer] = {reinterpret_cast<unsigned long long>(span.data),
                                  static_cast<int>(span.dtype)};
      }
    }
    const int64_t chunks = job.group_chunks(span);
    if (!is_last_block(&job.counters[job.candidates.group(span)], chunks)) return;
    chunk = find_chunk(job, job.first_chunk(span), chunks, wanted);
    const int32_t layer = job.chunks.layer_of[chunk];
    const LayerData& place = job.places[layer];
    span = make_span(job.chunks, job.table, chunk, layer,
                     reinterpret_cast<void*>(__ldcg(&place.address)),
                     static_cast<DType>(__ldcg(&place.dtype)));
  }
}

}  // namespace

void find_ties(const char* op, const LayerTensors& tensors, const Job& job, int64_t blocks,
               uintptr_t stream) {
  launch(op, ties_kernel, blocks, kStripThreads, stream, tensors, job);
}

}  // namespace dsr::cuda
