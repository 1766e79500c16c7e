// What every CUDA launcher needs.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace dsr::cuda {

inline cudaStream_t as_stream(uintptr_t stream) { return reinterpret_cast<cudaStream_t>(stream); }

// Throws if the launch just made was refused. Does not wait for the kernel.
inline void check_launch(const char* op) {
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string(op) +
                             ": CUDA launch failed: " + cudaGetErrorString(error));
  }
}

}  // namespace dsr::cuda
