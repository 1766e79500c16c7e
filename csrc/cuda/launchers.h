// The CUDA kernel of every op. Arguments: those of the torch op, its outputs, the stream. Pointers
// are device pointers. A failed launch throws std::runtime_error naming the op.
#pragma once

#include <cstdint>
#include <vector>

#include "common/buffer.h"

namespace dsr::cuda {

void apply_mask(const std::vector<Buffer>& tensors, const std::vector<int64_t>& layers,
                const Buffer& words, const Buffer& table, uintptr_t stream);

}  // namespace dsr::cuda
