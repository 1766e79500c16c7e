// prune_smallest_ on a GPU: exactly k active units of smallest key become inactive.
//
// Moves: every strip with an active weight in twice to find the key, and once to prune; the few
// weights near the key out once, in once, and once more where units of that key stay; what changed
// out. Where many weights are near the key, every strip in again. See cuda/order_search.h and
// cuda/prune_pass.h.

#include "cuda/launchers.h"
#include "cuda/order_search.h"
#include "cuda/prune_pass.h"

namespace dsr::cuda {
namespace {

struct FoundCut {
  static constexpr bool kTies = true;

  const Search* searches;
  Candidates candidates;

  __device__ Cut operator()(const Span& span) const {
    const Search search = searches[candidates.group(span)];
    return {search.order, search.tie - candidates.base(span)};
  }
};

}  // namespace

void prune_smallest(const std::vector<Buffer>& weights, const Buffer& words, const Buffer& table,
                    const Buffer& k, bool per_layer, bool zero, bool keep_one, const Buffer& pruned,
                    const Buffer& surviving, const Buffer& nonfinite, const ChunkPlan& plan,
                    const Buffer& counters, const Buffer& partials, const SearchTables& tables,
                    uintptr_t stream) {
  const char* op = "prune_smallest_";
  const Candidates candidates = {Among::kActiveNumbers, /*largest=*/false, per_layer,
                                 words.as<uint32_t>(), nullptr};
  search_order(op, weights, table, candidates, k, tables, {}, stream);
  prune(op, weights, words, table, plan, FoundCut{std::get<1>(tables).as<Search>(), candidates},
        zero, keep_one,
        {partials.as<uint64_t>(), counters.as<int32_t>(), pruned.as<int64_t>(),
         surviving.as<int64_t>(), nonfinite.as<int64_t>()},
        stream);
}

}  // namespace dsr::cuda
