// A tensor as the kernels see it: where it lies, how many elements, of what type.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "common/host_device.h"

namespace dsr {

// The codes are those of DTYPE_CODES in dsr_kernels/extension.py.
enum class DType : int32_t {
  kFloat32 = 0,
  kBFloat16 = 1,
  kFloat16 = 2,
  kFloat64 = 3,
  kInt32 = 4,
  kInt64 = 5,
};

struct Buffer {
  void* data = nullptr;
  int64_t size = 0;  // elements
  DType dtype = DType::kFloat32;

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

// Bytes of an element, 0 for a code that is none.
DSR_HOST_DEVICE constexpr int bytes_of(DType dtype) {
  switch (dtype) {
    case DType::kBFloat16:
    case DType::kFloat16:
      return 2;
    case DType::kFloat32:
    case DType::kInt32:
      return 4;
    case DType::kFloat64:
    case DType::kInt64:
      return 8;
  }
  return 0;
}

inline int element_bytes(DType dtype) {
  const int bytes = bytes_of(dtype);
  if (bytes == 0) {
    throw std::invalid_argument("dtype: expected a code in [0, 5], got " +
                                std::to_string(static_cast<int32_t>(dtype)));
  }
  return bytes;
}

}  // namespace dsr
