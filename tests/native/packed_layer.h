// One layer with a mask, its values and ranks by hand, on heap buffers of exactly their size.
#pragma once

#include <cstdint>
#include <vector>

#include "common/bits.h"
#include "common/buffer.h"

namespace dsr {

struct HandPacked {
  std::vector<int64_t> units;
  std::vector<uint32_t> words;
  std::vector<int64_t> ranks;
  std::vector<uint32_t> dense;   // 0 where inactive
  std::vector<uint32_t> values;  // of active units, unit after unit

  explicit HandPacked(const std::vector<int64_t>& shape)
      : units(shape), dense(shape[0] * shape[1] * shape[2]) {
    const int64_t count = shape[0] * shape[2];
    words.resize((count + 127) / 128 * 4);
    int64_t active = 0;
    for (int64_t unit = 0; unit < count; ++unit) {
      if (unit % 1024 == 0) ranks.push_back(active);
      if ((unit * 2654435761u >> 7 & 1u) == 0) continue;
      words[unit / kWordBits] |= 1u << (unit % kWordBits);
      ++active;
      for (int64_t u = 0; u < shape[1]; ++u) {
        const int64_t at = (unit / shape[2] * shape[1] + u) * shape[2] + unit % shape[2];
        values.push_back(dense[at] = static_cast<uint32_t>(at + 1));
      }
    }
    ranks.push_back(active);
  }
};

template <typename T>
Buffer buffer(std::vector<T>& data, DType dtype) {
  return {data.data(), static_cast<int64_t>(data.size()), dtype};
}

inline std::vector<std::vector<int64_t>> packed_shapes() {
  return {{0, 1, 1},       {1, 1, 1},    {33, 1, 1}, {1024, 1, 1},
          {100'001, 1, 1}, {3000, 9, 1}, {5, 9, 41}, {300, 9, 41}};
}

}  // namespace dsr
