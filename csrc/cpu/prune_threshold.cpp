// prune_threshold_ on the CPU: every active unit whose key is below that of the threshold becomes
// inactive.
//
// Moves: every weight once in, one bit a unit in and out, the pruned weights out. 1024 units at a
// time become keys in the first-level cache; words without active units are skipped. Every unit
// belongs to one thread and the counts are integers: any thread count gives the same result.

#include <cstdint>
#include <vector>

#include "cpu/launchers.h"
#include "cpu/prune_pass.h"

namespace dsr::cpu {

void prune_threshold(const std::vector<Buffer>& weights, const Buffer& words, const Buffer& table,
                     const Buffer& threshold, bool zero, const Buffer& pruned,
                     const Buffer& surviving, const Buffer& nonfinite, int threads) {
  const Work work = divide_work(weights, table, threads);
  const uint32_t limit = key_of(Float32::magnitude(*threshold.as<uint32_t>()));
  const std::vector<Cut> cuts(work.layers.size(), Cut{limit, 0});
  prune(work, cuts, zero, /*keep_one=*/true, words.as<uint32_t>(), pruned, surviving, nonfinite);
}

}  // namespace dsr::cpu
