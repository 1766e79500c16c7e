// Calls the C++ kernel on heap buffers of exactly the size it may touch; for the sanitizers.

#include <cstdint>
#include <cstdio>
#include <vector>

#include "common/bits.h"
#include "common/layout.h"
#include "cpu/launchers.h"

using dsr::Buffer;
using dsr::DType;
using dsr::LayerShape;

namespace {

template <typename T>
int count_wrong(const LayerShape& shape, DType dtype, T infinity, int threads) {
  std::vector<uint32_t> words((shape.units() + 127) / 128 * 4);
  for (int64_t unit = 0; unit < shape.units(); ++unit) {
    if ((unit * 2654435761u >> 7) & 1u) words[unit / dsr::kWordBits] |= 1u << (unit % 32);
  }
  std::vector<int64_t> table = {shape.outer, shape.unit_size, shape.inner, 0, 0};
  // Every third element is an infinity, which both the block's look and its count must find.
  std::vector<T> data(shape.elements(), T{1});
  int64_t infinities = 0;
  for (int64_t element = 0; element < shape.elements(); element += 3) {
    data[element] = infinity;
    infinities += dsr::is_active(words.data(), dsr::unit_of(element, shape));
  }
  const Buffer tensor{data.data(), shape.elements(), dtype};
  const Buffer mask{words.data(), static_cast<int64_t>(words.size()), DType::kInt32};
  const Buffer layout{table.data(), static_cast<int64_t>(table.size()), DType::kInt64};
  int64_t nonfinite = -1;
  const Buffer count{&nonfinite, 1, DType::kInt64};
  dsr::cpu::mask_and_count({tensor}, {0}, mask, layout, count, threads);
  int wrong = nonfinite != infinities;
  for (int64_t element = 0; element < shape.elements(); ++element) {
    const bool active = dsr::is_active(words.data(), dsr::unit_of(element, shape));
    wrong += data[element] != (!active ? T{0} : element % 3 == 0 ? infinity : T{1});
  }
  return wrong;
}

}  // namespace

int main() {
  int wrong = 0;
  for (const LayerShape& shape : std::vector<LayerShape>{{0, 1, 1, 0, 0},
                                                         {1, 1, 1, 0, 0},
                                                         {33, 1, 1, 0, 0},
                                                         {200'001, 1, 1, 0, 0},
                                                         {37, 9, 1, 0, 0},
                                                         {20'001, 9, 1, 0, 0},
                                                         {5, 9, 41, 0, 0},
                                                         {500, 9, 41, 0, 0}}) {
    for (int threads = 1; threads <= 3; ++threads) {
      wrong += count_wrong<uint16_t>(shape, DType::kBFloat16, 0x7F80u, threads);
      wrong += count_wrong<uint32_t>(shape, DType::kFloat32, 0x7F800000u, threads);
      wrong += count_wrong<uint64_t>(shape, DType::kFloat64, 0xFFF0000000000000u, threads);
    }
  }
  std::printf("%d wrong\n", wrong);
  return wrong == 0 ? 0 : 1;
}
