// The CUDA kernel of every op. Arguments: those of the torch op, its outputs, the stream. Pointers
// are device pointers. A failed launch throws std::runtime_error naming the op.
#pragma once

#include <cstdint>
#include <vector>

#include "common/buffer.h"
#include "cuda/chunk_plan.h"

namespace dsr::cuda {

void apply_mask(const std::vector<Buffer>& tensors, const std::vector<int64_t>& layers,
                const Buffer& words, const Buffer& table, uintptr_t stream);

void prune_threshold(const std::vector<Buffer>& weights, const Buffer& words, const Buffer& table,
                     const Buffer& threshold, bool zero, const Buffer& pruned,
                     const Buffer& surviving, const Buffer& nonfinite, const ChunkPlan& plan,
                     const Buffer& counters, const Buffer& partials, uintptr_t stream);

void kth_magnitude(const std::vector<Buffer>& tensors, const Buffer& words, const Buffer& table,
                   const Buffer& k, bool active, bool largest, bool per_layer, const Buffer& select,
                   const Buffer& shortfall, const Buffer& nonfinite, const SearchTables& tables,
                   const Buffer& counts, uintptr_t stream);

void prune_smallest(const std::vector<Buffer>& weights, const Buffer& words, const Buffer& table,
                    const Buffer& k, bool per_layer, bool zero, bool keep_one, const Buffer& pruned,
                    const Buffer& surviving, const Buffer& nonfinite, const ChunkPlan& plan,
                    const Buffer& counters, const Buffer& partials, const SearchTables& tables,
                    uintptr_t stream);

void grow_largest(const Buffer& words, const Buffer& previous, const std::vector<Buffer>& scores,
                  const Buffer& table, const Buffer& counts, bool per_layer, const Buffer& grown,
                  const ChunkPlan& plan, const Buffer& counters, const Buffer& partials,
                  const SearchTables& tables, uintptr_t stream);

void reset_state(const std::vector<Buffer>& states, const std::vector<int64_t>& layers,
                 const Buffer& words, const Buffer& previous, const Buffer& table,
                 uintptr_t stream);

void add_noise(const std::vector<Buffer>& tensors, const std::vector<int64_t>& layers,
               const Buffer& words, const Buffer& table, const Buffer& scale, int64_t seed,
               const Buffer& counter, int64_t purpose, uintptr_t stream);

void grow_random(const Buffer& words, const Buffer& previous, const Buffer& table,
                 const Buffer& counts, int64_t seed, const Buffer& reallocation, int64_t purpose,
                 const Buffer& grown, const ChunkPlan& plan, const Buffer& counters,
                 const Buffer& place_scratch, const Buffer& draw_scratch, uintptr_t stream);

void allocate_growth(const Buffer& threshold, const Buffer& pruned, const Buffer& shares,
                     const Buffer& capacity, int64_t lower, int64_t upper, const Buffer& grown,
                     const Buffer& scratch, uintptr_t stream);

void layer_mean(const std::vector<Buffer>& tensors, const Buffer& words, const Buffer& table,
                const Buffer& mean, const ChunkPlan& plan, const Buffer& counters,
                const Buffer& sums, uintptr_t stream);

void prune_sign_flips(const std::vector<Buffer>& weights, const Buffer& words,
                      const Buffer& positive, const Buffer& negative, const Buffer& table,
                      bool zero, const Buffer& pruned, const Buffer& surviving,
                      const Buffer& nonfinite, const ChunkPlan& plan, const Buffer& counters,
                      const Buffer& partials, uintptr_t stream);

}  // namespace dsr::cuda
