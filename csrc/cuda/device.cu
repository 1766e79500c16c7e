#include "cuda/device.h"

#include <cuda_runtime.h>

#ifndef DSR_CUDA_ARCHS
#define DSR_CUDA_ARCHS ""
#endif

namespace dsr::cuda {
namespace {

// Compiled for the same architectures as every other kernel: if it loads, they do.
__global__ void probe_kernel() {}

std::string version_text(int version) {
  if (version == 0) return "";
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

int driver_version() {
  int version = 0;
  if (cudaDriverGetVersion(&version) != cudaSuccess) version = 0;
  cudaGetLastError();
  return version;
}

// Why the kernels do not load on the current device, or "". Leaves no error behind.
std::string load_error() {
  cudaFuncAttributes attributes;
  const cudaError_t error = cudaFuncGetAttributes(&attributes, probe_kernel);
  cudaGetLastError();
  if (error == cudaSuccess) return "";
  return std::string(cudaGetErrorString(error)) + " (built for " + DSR_CUDA_ARCHS + ")";
}

}  // namespace

std::string unavailable(int device) {
  const int driver = driver_version();
  if (driver == 0) return "no CUDA driver found";
  if (driver / 1000 < CUDART_VERSION / 1000) {
    return "the driver supports CUDA " + version_text(driver) + ", _cuda was built with CUDA " +
           version_text(CUDART_VERSION) + ": update the driver or rebuild with an older nvcc";
  }
  int count = 0;
  cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && device >= count) error = cudaErrorInvalidDevice;
  int current = 0;
  if (error == cudaSuccess) error = cudaGetDevice(&current);
  if (error == cudaSuccess) error = cudaSetDevice(device);
  cudaGetLastError();
  if (error != cudaSuccess) return cudaGetErrorString(error);
  const std::string reason = load_error();
  cudaSetDevice(current);
  return reason;
}

std::map<std::string, std::string> versions() {
  int runtime = 0;
  if (cudaRuntimeGetVersion(&runtime) != cudaSuccess) runtime = 0;
  return {{"build", version_text(CUDART_VERSION)},
          {"runtime", version_text(runtime)},
          {"driver", version_text(driver_version())},
          {"architectures", DSR_CUDA_ARCHS}};
}

}  // namespace dsr::cuda
