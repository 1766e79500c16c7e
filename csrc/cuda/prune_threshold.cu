// prune_threshold_ on a GPU: every active unit whose key is below that of the threshold becomes
// inactive, all layers in one launch.
//
// Moves: every strip with an active weight once in, one bit a unit in, what changed out: pruned
// weights and the words they are in. See cuda/prune_pass.h for the order of things.

#include "cuda/launchers.h"
#include "cuda/prune_pass.h"

namespace dsr::cuda {
namespace {

struct BelowThreshold {
  static constexpr bool kTies = false;

  const uint32_t* threshold;  // a float32

  __device__ Cut operator()(const Span&) const {
    return {key_of(Float32::magnitude(*threshold)), 0};
  }
};

}  // namespace

void prune_threshold(const std::vector<Buffer>& weights, const Buffer& words, const Buffer& table,
                     const Buffer& threshold, bool zero, const Buffer& pruned,
                     const Buffer& surviving, const Buffer& nonfinite, const ChunkPlan& plan,
                     const Buffer& counters, const Buffer& partials, uintptr_t stream) {
  prune("prune_threshold_", weights, words, table, plan, BelowThreshold{threshold.as<uint32_t>()},
        zero, /*keep_one=*/true,
        {partials.as<uint64_t>(), counters.as<int32_t>(), pruned.as<int64_t>(),
         surviving.as<int64_t>(), nonfinite.as<int64_t>()},
        stream);
}

}  // namespace dsr::cuda
