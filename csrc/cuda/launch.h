// Launching a kernel: the one place with <<<>>>, so that an emulator can stand in for it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "cuda/debug.h"

namespace dsr::cuda {

constexpr int64_t kMaxBlocks = (int64_t{1} << 31) - 1;

// Throws if the launch is refused or if a kernel before it failed. Does not wait for the kernel,
// unless DSR_CUDA_SYNC=1 asks to know which op an error belongs to.
template <typename... Parameters, typename... Arguments>
void launch(const char* op, void (*kernel)(Parameters...), int64_t blocks, int threads,
            uintptr_t stream, const Arguments&... arguments) {
  if (blocks == 0) return;
  if (blocks > kMaxBlocks) {
    throw std::runtime_error(std::string(op) + ": " + std::to_string(blocks) +
                             " blocks are more than a CUDA grid has");
  }
  const cudaStream_t on = reinterpret_cast<cudaStream_t>(stream);
  kernel<<<static_cast<unsigned>(blocks), threads, 0, on>>>(static_cast<Parameters>(arguments)...);
  check_launch(op, on);
}

}  // namespace dsr::cuda
