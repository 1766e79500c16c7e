// Writing +0.0 to units.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/layout.h"
#include "common/select.h"
#include "cpu/unit_keys.h"

namespace dsr::cpu {

template <typename T>
void zero_unit(T* data, const LayerShape& shape, int64_t unit) {
  if (shape.unit_size == 1) {
    data[unit] = 0;
  } else if (shape.inner == 1) {
    std::fill_n(data + unit * shape.unit_size, shape.unit_size, T{0});
  } else {
    const int64_t i = unit % shape.inner;
    T* out = data + (unit - i) * shape.unit_size + i;
    for (int64_t u = 0; u < shape.unit_size; ++u) out[u * shape.inner] = 0;
  }
}

// The units with a bit in `bits`, which starts at the layer's word `first_word`.
inline void zero_units(const Layer& layer, int64_t first_word, int words, const uint32_t* bits) {
  for (int w = 0; w < words; ++w) {
    for (uint32_t left = bits[w]; left != 0; left &= left - 1) {
      const int64_t unit = (first_word + w) * kWordBits + lowest_bit(left);
      if (layer.dtype == DType::kFloat32) {
        zero_unit(static_cast<uint32_t*>(layer.data), layer.shape, unit);
      } else {
        zero_unit(static_cast<uint16_t*>(layer.data), layer.shape, unit);
      }
    }
  }
}

}  // namespace dsr::cpu
