// Calls the C++ kernel on heap buffers of exactly the size it may touch; for the sanitizers.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "common/bits.h"
#include "common/layout.h"
#include "common/select.h"
#include "cpu/launchers.h"

using dsr::Buffer;
using dsr::DType;

namespace {

template <typename T>
Buffer buffer_of(std::vector<T>& values, DType dtype) {
  return {values.data(), static_cast<int64_t>(values.size()), dtype};
}

int64_t active_units(const std::vector<uint32_t>& words) {
  int64_t count = 0;
  for (const uint32_t word : words) count += dsr::popcount(word);
  return count;
}

// One layer whose active units were every `step`-th and the last third; some of them were pruned.
int count_wrong(int64_t units, int64_t step, int64_t wanted, int threads) {
  std::vector<uint32_t> words((units + 127) / 128 * 4);
  std::vector<uint32_t> previous(words.size());
  for (int64_t unit = 0; unit < units; ++unit) {
    if (unit % step != 0 && unit <= units / 3 * 2) continue;
    previous[unit / 32] |= 1u << (unit % 32);
    if (unit % (2 * step) == 0) words[unit / 32] |= 1u << (unit % 32);
  }
  const std::vector<uint32_t> before = words;
  std::vector<int64_t> table = {units, 1, 1, 0, 0};
  std::vector<int64_t> counts = {wanted};
  std::vector<int64_t> reallocation = {3};
  std::vector<int64_t> grown = {-1};
  dsr::cpu::grow_random(buffer_of(words, DType::kInt32), buffer_of(previous, DType::kInt32),
                        buffer_of(table, DType::kInt64), buffer_of(counts, DType::kInt64), 7,
                        buffer_of(reallocation, DType::kInt64), 1, buffer_of(grown, DType::kInt64),
                        threads);
  const int64_t expected = std::min(wanted, units - active_units(before));
  int wrong = grown[0] != expected;
  wrong += active_units(words) != active_units(before) + expected;
  for (size_t w = 0; w < words.size(); ++w) {
    wrong += (before[w] & ~words[w]) != 0;
    wrong += (words[w] & ~dsr::unit_bits(static_cast<int64_t>(w), units)) != 0;
  }
  return wrong;
}

}  // namespace

int main() {
  int wrong = 0;
  for (const int64_t units : {0, 1, 31, 32, 33, 64, 144, 1000, 1024, 32'768, 32'769, 300'001}) {
    for (const int64_t step : {1, 2, 10, 400'000}) {
      for (const int64_t wanted : {int64_t{0}, int64_t{1}, units / 20, units / 2, units}) {
        for (int threads = 1; threads <= 3; ++threads) {
          wrong += count_wrong(units, step, wanted, threads);
        }
      }
    }
  }
  std::printf("%d wrong\n", wrong);
  return wrong == 0 ? 0 : 1;
}
