// One row of SparseLayout.table: which mask bits belong to a layer, and what one bit stands for.
#pragma once

#include <cstdint>

#include "common/host_device.h"

namespace dsr {

constexpr int kTableColumns = 5;

// Element (o, u, i) lies at (o * unit_size + u) * inner + i and belongs to unit o * inner + i.
struct LayerShape {
  int64_t outer;
  int64_t unit_size;
  int64_t inner;
  int64_t word_offset;  // the layer's first mask word
  int64_t unit_offset;  // the global number of the layer's first unit

  DSR_HOST_DEVICE int64_t units() const { return outer * inner; }
  DSR_HOST_DEVICE int64_t elements() const { return outer * unit_size * inner; }
};

DSR_HOST_DEVICE inline LayerShape read_layer(const int64_t* table, int64_t layer) {
  const int64_t* row = table + layer * kTableColumns;
  return {row[0], row[1], row[2], row[3], row[4]};
}

// The unit an element belongs to. 64-bit division is several times slower on a GPU.
DSR_HOST_DEVICE inline int64_t unit_of(int64_t element, const LayerShape& shape) {
  const int64_t span = shape.unit_size * shape.inner;
  if (((element | span) >> 32) == 0) {
    const uint32_t e = static_cast<uint32_t>(element);
    const uint32_t inner = static_cast<uint32_t>(shape.inner);
    return static_cast<int64_t>(e / static_cast<uint32_t>(span)) * inner + e % inner;
  }
  return element / span * shape.inner + element % shape.inner;
}

}  // namespace dsr
