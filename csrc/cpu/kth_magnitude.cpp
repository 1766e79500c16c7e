// kth_magnitude on the CPU: the key and index that separate exactly k units from the others.
//
// Moves: every value once in to count, once in to collect (see order_search.h); scratch memory of
// 8 KiB a group, and at most 8 bytes for every 16th unit.

#include <cstdint>
#include <vector>

#include "cpu/launchers.h"
#include "cpu/order_search.h"

namespace dsr::cpu {

void kth_magnitude(const std::vector<Buffer>& tensors, const Buffer& words, const Buffer& table,
                   const Buffer& k, bool active, bool largest, bool per_layer, const Buffer& select,
                   const Buffer& shortfall, const Buffer& nonfinite, int threads) {
  const Work work = divide_work(tensors, table, threads);
  const Candidates candidates = {active ? Among::kActive : Among::kInactive, words.as<uint32_t>(),
                                 nullptr};
  const Order order = {largest, /*skip_nan=*/false, per_layer};
  std::fill_n(nonfinite.as<int64_t>(), nonfinite.size, 0);
  const std::vector<Search> searches =
      search_order({work, candidates, order, nonfinite.as<int64_t>()}, k.as<int64_t>(), k.size);
  for (int64_t g = 0; g < k.size; ++g) {
    const Search& search = searches[g];
    const int64_t wanted = k.as<int64_t>()[g];
    int64_t* row = select.as<int64_t>() + 2 * g;
    const bool none = search.k == 0;
    const uint32_t key = none ? 0 : key_of_rank(search.rank(), largest);
    row[0] = none ? (largest ? kNanKey : 0) : (largest && key == kNanKey ? -1 : int64_t{key});
    row[1] = none ? 0 : search.tie();
    shortfall.as<int64_t>()[g] = wanted > search.candidates ? wanted - search.candidates : 0;
  }
}

}  // namespace dsr::cpu
