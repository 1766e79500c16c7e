// grow_largest_ on the CPU: the inactive units of largest score become active.
//
// Moves: every score in twice to find the cut (see order_search.h) and once to grow, two bits a
// unit in and one out. The just pruned places are looked at only if the free ones do not suffice.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/launchers.h"
#include "cpu/order_search.h"

namespace dsr::cpu {
namespace {

DSR_CLONES void select_block(const RankBlock& block, int64_t first, const Cut& cut,
                             uint32_t* chosen) {
  for (int w = 0; w < block.words; ++w) {
    const auto ranks = stored(block.ranks + w * kWordBits);
    chosen[w] = block.wanted[w] & selected_bits(ranks, first + w * kWordBits, cut);
  }
}

// Grows the units that the searches select, and adds to `grown`, a count a layer.
void grow_selected(const Problem& problem, const std::vector<Search>& searches, uint32_t* words,
                   int64_t* grown) {
  const int64_t chunks = problem.work.chunk_count();
#pragma omp parallel num_threads(problem.work.team) if (problem.work.team > 1)
  {
    RankBlock block;
    uint32_t chosen[kBlockWords];
#pragma omp for schedule(dynamic)
    for (int64_t c = 0; c < chunks; ++c) {
      const Chunk& chunk = problem.work.chunks[c];
      const Layer& layer = problem.work.layers[chunk.layer];
      const Search& search = searches[problem.order.group(chunk.layer)];
      if (search.k == 0) continue;
      const int64_t base = problem.order.base(layer);
      const Cut cut = search.cut(base);
      uint32_t* layer_words = words + layer.shape.word_offset;
      int64_t count = 0;
      visit_blocks(problem, chunk, block, [&](int64_t first) {
        select_block(block, first - base, cut, chosen);
        uint32_t* out = layer_words + (first - base) / kWordBits;
        for (int w = 0; w < block.words; ++w) {
          out[w] |= chosen[w];
          count += popcount(chosen[w]);
        }
      });
#pragma omp atomic
      grown[chunk.layer] += count;
    }
  }
}

}  // namespace

void grow_largest(const Buffer& words, const Buffer& previous, const std::vector<Buffer>& scores,
                  const Buffer& table, const Buffer& counts, bool per_layer, const Buffer& grown,
                  int threads) {
  const Work work = divide_work(scores, table, threads);
  const Order order = {/*largest=*/true, /*skip_nan=*/false, per_layer};
  std::fill_n(grown.as<int64_t>(), grown.size, 0);
  std::vector<int64_t> left(counts.size);
  for (int64_t g = 0; g < counts.size; ++g) left[g] = std::max<int64_t>(0, counts.as<int64_t>()[g]);
  for (const Among among : {Among::kFree, Among::kJustPruned}) {
    const Candidates candidates = {among, words.as<uint32_t>(), previous.as<uint32_t>()};
    const Problem problem = {work, candidates, order, nullptr};
    const std::vector<Search> searches = search_order(problem, left.data(), counts.size);
    grow_selected(problem, searches, words.as<uint32_t>(), grown.as<int64_t>());
    for (int64_t g = 0; g < counts.size; ++g) {
      left[g] -= std::min(left[g], searches[g].candidates);
    }
  }
}

}  // namespace dsr::cpu
