// Calls the C++ kernel on heap buffers of exactly the size it may touch; for the sanitizers.

#include <cstdint>
#include <cstdio>
#include <vector>

#include "common/bits.h"
#include "common/layout.h"
#include "cpu/launchers.h"

using dsr::Buffer;
using dsr::DType;

namespace {

// Weights +1 and -1 by turns; every third was positive before, the others negative.
template <typename T>
int count_wrong(int64_t units, DType dtype, T one, T minus_one, int threads) {
  std::vector<uint32_t> words((units + 127) / 128 * 4, 0u);
  std::vector<uint32_t> positive(words.size(), 0u);
  std::vector<uint32_t> negative(words.size(), 0u);
  std::vector<T> data(units);
  int64_t flips = 0;
  int64_t active = 0;
  for (int64_t unit = 0; unit < units; ++unit) {
    const uint32_t bit = 1u << (unit % 32);
    data[unit] = unit % 2 == 0 ? one : minus_one;
    (unit % 3 == 0 ? positive : negative)[unit / 32] |= bit;
    if ((unit * 2654435761u >> 7) & 1u) continue;
    words[unit / 32] |= bit;
    ++active;
    flips += (unit % 2 == 0) != (unit % 3 == 0);
  }
  // A bit behind the last unit stands for no element.
  if (units % 128 != 0) words.back() |= 1u << 31;
  std::vector<int64_t> table = {units, 1, 1, 0, 0};
  std::vector<int64_t> counts(3);
  const auto mask = [](std::vector<uint32_t>& bits) {
    return Buffer{bits.data(), static_cast<int64_t>(bits.size()), DType::kInt32};
  };
  const auto int64s = [](int64_t* at, int64_t size) { return Buffer{at, size, DType::kInt64}; };
  dsr::cpu::prune_sign_flips({{data.data(), units, dtype}}, mask(words), mask(positive),
                             mask(negative), int64s(table.data(), 5), true, int64s(&counts[0], 1),
                             int64s(&counts[1], 1), int64s(&counts[2], 1), threads);
  int wrong = counts[0] != flips || counts[1] != active - flips || counts[2] != 0;
  for (int64_t unit = 0; unit < units; ++unit) {
    const bool is_positive = dsr::is_active(positive.data(), unit);
    const bool is_negative = dsr::is_active(negative.data(), unit);
    const bool now = dsr::is_active(words.data(), unit);
    wrong += is_positive != (now && unit % 2 == 0) || is_negative != (now && unit % 2 == 1);
  }
  return wrong;
}

}  // namespace

int main() {
  int wrong = 0;
  for (const int64_t units : {0, 1, 31, 32, 33, 1'023, 1'025, 300'001}) {
    for (int threads = 1; threads <= 3; ++threads) {
      wrong += count_wrong<uint32_t>(units, DType::kFloat32, 0x3F800000u, 0xBF800000u, threads);
      wrong += count_wrong<uint16_t>(units, DType::kBFloat16, 0x3F80u, 0xBF80u, threads);
      wrong += count_wrong<uint16_t>(units, DType::kFloat16, 0x3C00u, 0xBC00u, threads);
    }
  }
  std::printf("%d wrong\n", wrong);
  return wrong == 0 ? 0 : 1;
}
