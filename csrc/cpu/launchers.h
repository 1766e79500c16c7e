// The CPU kernel of every op. Arguments: those of the torch op, its outputs, the thread count.
#pragma once

#include <cstdint>
#include <vector>

#include "common/buffer.h"

namespace dsr::cpu {

void apply_mask(const std::vector<Buffer>& tensors, const std::vector<int64_t>& layers,
                const Buffer& words, const Buffer& table, int threads);

void mask_and_count(const std::vector<Buffer>& tensors, const std::vector<int64_t>& layers,
                    const Buffer& words, const Buffer& table, const Buffer& nonfinite, int threads);

// No op of its own: the products mask one layer by it, in place if source and target are one.
void masked_copy(const Buffer& source, const Buffer& words, const std::vector<int64_t>& units,
                 const Buffer& target, int threads);

void prune_threshold(const std::vector<Buffer>& weights, const Buffer& words, const Buffer& table,
                     const Buffer& threshold, bool zero, const Buffer& pruned,
                     const Buffer& surviving, const Buffer& nonfinite, int threads);

void kth_magnitude(const std::vector<Buffer>& tensors, const Buffer& words, const Buffer& table,
                   const Buffer& k, bool active, bool largest, bool per_layer, const Buffer& select,
                   const Buffer& shortfall, const Buffer& nonfinite, int threads);

void prune_smallest(const std::vector<Buffer>& weights, const Buffer& words, const Buffer& table,
                    const Buffer& k, bool per_layer, bool zero, bool keep_one, const Buffer& pruned,
                    const Buffer& surviving, const Buffer& nonfinite, int threads);

void allocate_growth(const Buffer& threshold, const Buffer& pruned, const Buffer& shares,
                     const Buffer& capacity, int64_t lower, int64_t upper, const Buffer& grown,
                     int threads);

void grow_random(const Buffer& words, const Buffer& previous, const Buffer& table,
                 const Buffer& counts, int64_t seed, const Buffer& reallocation, int64_t purpose,
                 const Buffer& grown, int threads);

void grow_largest(const Buffer& words, const Buffer& previous, const std::vector<Buffer>& scores,
                  const Buffer& table, const Buffer& counts, bool per_layer, const Buffer& grown,
                  int threads);

void layer_mean(const std::vector<Buffer>& tensors, const Buffer& words, const Buffer& table,
                const Buffer& mean, int threads);

void reset_state(const std::vector<Buffer>& states, const std::vector<int64_t>& layers,
                 const Buffer& words, const Buffer& previous, const Buffer& table, int threads);

void add_noise(const std::vector<Buffer>& tensors, const std::vector<int64_t>& layers,
               const Buffer& words, const Buffer& table, const Buffer& scale, int64_t seed,
               const Buffer& counter, int64_t purpose, int threads);

void prune_sign_flips(const std::vector<Buffer>& weights, const Buffer& words,
                      const Buffer& positive, const Buffer& negative, const Buffer& table,
                      bool zero, const Buffer& pruned, const Buffer& surviving,
                      const Buffer& nonfinite, int threads);

void pack(const Buffer& tensor, const Buffer& words, const std::vector<int64_t>& units,
          int64_t active, const Buffer& values, const Buffer& ranks, int threads);

void unpack(const Buffer& values, const Buffer& ranks, const Buffer& words,
            const std::vector<int64_t>& units, const Buffer& tensor, int threads);

}  // namespace dsr::cpu
