// grow_largest_ on a GPU: the inactive units of largest score become active.
//
// One search over all inactive units, in which those just pruned come behind the free ones
// whatever their score (cuda/order_search.h), then one launch that sets bits and counts.
//
// Moves: the strips with an inactive unit in twice to find the score, and once to grow, two bits a
// unit each time; the few scores near it out once, in once, and once more where units of that score
// stay; the words that change out. Where many scores are near it, every strip in again.

#include "cuda/last_block.h"
#include "cuda/launch.h"
#include "cuda/launchers.h"
#include "cuda/order_search.h"
#include "cuda/reduce.h"

namespace dsr::cuda {
namespace {

struct Growth {
  const Search* searches;
  uint32_t* words;
  int64_t* partials;  // [chunks]: units grown
  int32_t* counters;  // [layers]
  int64_t* grown;
};

// Sets the bits of the selected units of a chunk. Returns this thread's count of them.
template <typename Reader>
__device__ int set_selected(const Reader& reader, const Span& span, const Candidates& candidates,
                            const Search& search, uint32_t* layer_words) {
  int count = 0;
  const int64_t tie = search.tie - candidates.base(span);
  const auto wanted = [&](int64_t index) { return candidates.in_word(span, index); };
  visit_strips(reader, span, wanted,
               [&](int64_t first, uint32_t, uint32_t bits, const uint32_t (&magnitudes)[kStrip]) {
                 uint32_t orders[kStrip];
                 candidates.order(reader, span, first, magnitudes, orders);
                 const int ties = static_cast<int>(max(int64_t{0}, min(tie - first, kWarpUnits)));
                 uint32_t selected = 0;
#pragma unroll
                 for (int j = 0; j < kStrip; ++j) {
                   const bool tied = orders[j] == search.order && reader.place(j) < ties;
                   selected |= static_cast<uint32_t>(orders[j] < search.order || tied) << j;
                 }
                 selected &= bits;
                 if (!__any_sync(kAllLanes, selected)) return;
                 count += __popc(selected);
                 const uint32_t word = reader.gather(selected);
                 const int64_t index = word_of_lane(first);
                 if (word) store_word(layer_words, index, layer_words[index] | word);
               });
  return count;
}

__global__ void __launch_bounds__(kStripThreads, kStripBlocks)
    grow_kernel(const __grid_constant__ LayerTensors scores, Chunks chunks, const int64_t* table,
                const __grid_constant__ Candidates candidates,
                const __grid_constant__ Growth growth) {
  const int64_t chunk = scores.first_chunk + blockIdx.x;
  const Span span = read_span(scores, chunks, table, chunk);
  const Search search = growth.searches[candidates.group(span)];
  int64_t count = 0;
  if (search.tie != 0) {
    with_magnitudes(span, [&](const auto& reader) {
      count = set_selected(reader, span, candidates, search, growth.words + span.shape.word_offset);
    });
  }
  count = sum_of_block(count);
  if (threadIdx.x == 0) growth.partials[chunk] = count;
  const int64_t blocks = chunks.count_of(span.layer);
  if (!is_last_block(growth.counters + span.layer, blocks)) return;
  const int64_t* partials = growth.partials + chunks.first_of[span.layer];
  int64_t total = 0;
  for (int64_t c = threadIdx.x; c < blocks; c += kStripThreads) total += __ldcg(&partials[c]);
  total = sum_of_block(total);
  if (threadIdx.x == 0) growth.grown[span.layer] = total;
}

}  // namespace

void grow_largest(const Buffer& words, const Buffer& previous, const std::vector<Buffer>& scores,
                  const Buffer& table, const Buffer& counts, bool per_layer, const Buffer& grown,
                  const ChunkPlan& plan, const Buffer& counters, const Buffer& partials,
                  const SearchTables& tables, uintptr_t stream) {
  const char* op = "grow_largest_";
  const Candidates candidates = {Among::kInactive, /*largest=*/true, per_layer,
                                 words.as<uint32_t>(), previous.as<uint32_t>()};
  search_order(op, scores, table, candidates, counts, tables, {}, stream);
  const Growth growth = {std::get<1>(tables).as<Search>(), words.as<uint32_t>(),
                         partials.as<int64_t>(), counters.as<int32_t>(), grown.as<int64_t>()};
  for_each_stretch(scores, plan, [&](const LayerTensors& stretch, int64_t blocks) {
    launch(op, grow_kernel, blocks, kStripThreads, stream, stretch, as_chunks(plan),
           table.as<int64_t>(), candidates, growth);
  });
}

}  // namespace dsr::cuda
