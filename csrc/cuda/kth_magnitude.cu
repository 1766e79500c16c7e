// kth_magnitude on a GPU: the key and index that separate exactly k units from the others.
//
// Moves: the strips with a candidate in twice, one bit a unit likewise; out once and in twice the
// few candidates near the k-th, and where they are many, all strips again: see cuda/order_search.h.

#include "cuda/launch.h"
#include "cuda/launchers.h"
#include "cuda/order_search.h"

namespace dsr::cuda {
namespace {

// Without layers there is no chunk whose block could say that nothing was found.
__global__ void no_layers_kernel(const int64_t* k, bool largest, CutOutputs outputs) {
  if (threadIdx.x != 0) return;
  outputs.select[0] = largest ? kNanKey : 0;
  outputs.select[1] = 0;
  outputs.shortfall[0] = max(int64_t{0}, k[0]);
}

}  // namespace

void kth_magnitude(const std::vector<Buffer>& tensors, const Buffer& words, const Buffer& table,
                   const Buffer& k, bool active, bool largest, bool per_layer, const Buffer& select,
                   const Buffer& shortfall, const Buffer& nonfinite, const SearchTables& tables,
                   const Buffer& counts, uintptr_t stream) {
  const Candidates candidates = {active ? Among::kActive : Among::kInactive, largest, per_layer,
                                 words.as<uint32_t>(), nullptr};
  const char* op = "kth_magnitude";
  const CutOutputs outputs = {select.as<int64_t>(), shortfall.as<int64_t>(),
                              nonfinite.as<int64_t>(), counts.as<unsigned long long>()};
  if (tensors.empty() && !per_layer) {
    launch(op, no_layers_kernel, 1, kLanes, stream, k.as<int64_t>(), largest, outputs);
  }
  search_order(op, tensors, table, candidates, k, tables, outputs, stream);
}

}  // namespace dsr::cuda
