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

// Active elements of 0 become noise, which is never exactly 0 here; the others stay 0.
template <typename T>
int count_wrong(const LayerShape& shape, DType dtype, int threads) {
  std::vector<uint32_t> words((shape.units() + 127) / 128 * 4);
  for (int64_t unit = 0; unit < shape.units(); ++unit) {
    if ((unit * 2654435761u >> 7) & 1u) words[unit / 32] |= 1u << (unit % 32);
  }
  // A bit behind the last unit stands for no element.
  if (shape.units() % 128 != 0) words.back() |= 1u << 31;
  std::vector<int64_t> table = {shape.outer, shape.unit_size, shape.inner, 0, 0};
  std::vector<T> data(shape.elements(), T{0});
  std::vector<float> scale = {1.0f};
  std::vector<int64_t> counter = {5};
  const Buffer tensor{data.data(), shape.elements(), dtype};
  const Buffer mask{words.data(), static_cast<int64_t>(words.size()), DType::kInt32};
  const Buffer layout{table.data(), static_cast<int64_t>(table.size()), DType::kInt64};
  dsr::cpu::add_noise({tensor}, {0}, mask, layout, {scale.data(), 1, DType::kFloat32}, -3,
                      {counter.data(), 1, DType::kInt64}, 2, threads);
  int wrong = 0;
  for (int64_t element = 0; element < shape.elements(); ++element) {
    const bool active = dsr::is_active(words.data(), dsr::unit_of(element, shape));
    wrong += (data[element] != 0) != active;
  }
  return wrong;
}

}  // namespace

int main() {
  int wrong = 0;
  for (const LayerShape& shape : std::vector<LayerShape>{{0, 1, 1, 0, 0},
                                                         {1, 1, 1, 0, 0},
                                                         {33, 1, 1, 0, 0},
                                                         {1'025, 1, 1, 0, 0},
                                                         {50'001, 1, 1, 0, 0},
                                                         {37, 9, 1, 0, 0},
                                                         {5, 9, 41, 0, 0},
                                                         {900, 3, 41, 0, 0}}) {
    for (int threads = 1; threads <= 3; ++threads) {
      wrong += count_wrong<uint16_t>(shape, DType::kFloat16, threads);
      wrong += count_wrong<uint16_t>(shape, DType::kBFloat16, threads);
      wrong += count_wrong<uint32_t>(shape, DType::kFloat32, threads);
    }
  }
  std::printf("%d wrong\n", wrong);
  return wrong == 0 ? 0 : 1;
}
