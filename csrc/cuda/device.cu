#include "cuda/device.h"

#include <cuda_runtime.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "cuda/debug.h"

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

bool waits_for_every_launch() {
  static const char* value = std::getenv("DSR_CUDA_SYNC");
  return value != nullptr && std::strcmp(value, "1") == 0;
}

bool is_captured(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  return cudaStreamIsCapturing(stream, &status) == cudaSuccess &&
         status != cudaStreamCaptureStatusNone;
}

thread_local const char* last_op = "";  // the op of the last launch that went well

}  // namespace

void check_launch(const char* op, cudaStream_t stream) {
  cudaError_t error = cudaGetLastError();
  const bool refused = error != cudaSuccess;
  if (!refused && waits_for_every_launch() && !is_captured(stream)) {
    error = cudaStreamSynchronize(stream);
  }
  if (error == cudaSuccess) {
    last_op = op;
    return;
  }
  std::string text = std::string(op) + ": CUDA error: " + cudaGetErrorString(error);
  if (refused && *last_op != 0) {
    text += std::string("; it may belong to an earlier kernel, the last of this package being ") +
            last_op + "'s (DSR_CUDA_SYNC=1 tells which)";
  }
  throw std::runtime_error(text);
}

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
