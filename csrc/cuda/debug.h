// Errors of kernels, which CUDA reports late, told with the op that they may belong to.
#pragma once

#include <cuda_runtime.h>

namespace dsr::cuda {

// Looks for an error after a launch of `op`. One that an earlier kernel left behind is reported
// with the op launched last before this one; with DSR_CUDA_SYNC=1 every launch is waited for, and
// the op named is the one that failed.
void check_launch(const char* op, cudaStream_t stream);

}  // namespace dsr::cuda
