// Stands in for CUDA's header, so that a C++ compiler takes csrc/cuda/*.cu and the kernels run on
// the CPU. It proves what they compute, not their speed nor their use of the memory model.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "emulator/atomics.h"
#include "emulator/block.h"
#include "emulator/intrinsics.h"
#include "emulator/vectors.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __shared__ static thread_local
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)

using cudaStream_t = void*;

// Device code has min and max for arguments of two integer types, as here, or of one float type.
template <typename A, typename B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  using Common = std::common_type_t<A, B>;
  return static_cast<Common>(b) < static_cast<Common>(a) ? static_cast<Common>(b)
                                                         : static_cast<Common>(a);
}

template <typename A, typename B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  using Common = std::common_type_t<A, B>;
  return static_cast<Common>(a) < static_cast<Common>(b) ? static_cast<Common>(b)
                                                         : static_cast<Common>(a);
}
