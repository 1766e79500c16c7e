// prune_smallest_ on the CPU: exactly k active units of smallest key become inactive.
//
// Moves: every weight in twice to find the cut (see order_search.h) and once to prune, one bit a
// unit in and out, the pruned weights out.

#include <cstdint>
#include <vector>

#include "cpu/launchers.h"
#include "cpu/order_search.h"
#include "cpu/prune_pass.h"

namespace dsr::cpu {

void prune_smallest(const std::vector<Buffer>& weights, const Buffer& words, const Buffer& table,
                    const Buffer& k, bool per_layer, bool zero, bool keep_one, const Buffer& pruned,
                    const Buffer& surviving, const Buffer& nonfinite, int threads) {
  const Work work = divide_work(weights, table, threads);
  const Candidates candidates = {Among::kActive, words.as<uint32_t>(), nullptr};
  const Order order = {/*largest=*/false, /*skip_nan=*/true, per_layer};
  const std::vector<Search> searches =
      search_order({work, candidates, order, nullptr}, k.as<int64_t>(), k.size);
  std::vector<Cut> cuts;
  for (int64_t i = 0; i < work.layer_count(); ++i) {
    cuts.push_back(searches[order.group(i)].cut(order.base(work.layers[i])));
  }
  prune(work, cuts, zero, keep_one, words.as<uint32_t>(), pruned, surviving, nonfinite);
}

}  // namespace dsr::cpu
