// Calls the C++ kernel on heap buffers of exactly the size it may touch; for the sanitizers.

#include <cstdio>
#include <vector>

#include "cpu/launchers.h"
#include "packed_layer.h"

using dsr::buffer;
using dsr::DType;
using dsr::HandPacked;

int main() {
  int wrong = 0;
  for (const std::vector<int64_t>& shape : dsr::packed_shapes()) {
    HandPacked layer(shape);
    for (int threads = 1; threads <= 3; ++threads) {
      std::vector<uint32_t> values(layer.values.size());
      std::vector<int64_t> ranks(layer.ranks.size());
      dsr::cpu::pack(buffer(layer.dense, DType::kFloat32), buffer(layer.words, DType::kInt32),
                     layer.units, layer.ranks.back(), buffer(values, DType::kFloat32),
                     buffer(ranks, DType::kInt64), threads);
      wrong += values != layer.values || ranks != layer.ranks;
    }
  }
  std::printf("%d wrong\n", wrong);
  return wrong == 0 ? 0 : 1;
}
