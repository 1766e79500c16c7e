// Calls the C++ kernel on the largest numbers it may be given; for the sanitizers.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <numeric>
#include <vector>

#include "cpu/launchers.h"

using dsr::Buffer;
using dsr::DType;

namespace {

constexpr int64_t kMost = 3'000'000'000;

int count_wrong(std::vector<int64_t> pruned, int64_t share, int64_t room, float threshold) {
  const int64_t layers = static_cast<int64_t>(pruned.size());
  std::vector<int64_t> shares(pruned.size(), share);
  std::vector<int64_t> capacity(pruned.size(), room);
  std::vector<int64_t> grown(pruned.size(), -1);
  const Buffer buffers[] = {{pruned.data(), layers, DType::kInt64},
                            {shares.data(), layers, DType::kInt64},
                            {capacity.data(), layers, DType::kInt64},
                            {grown.data(), layers, DType::kInt64}};
  dsr::cpu::allocate_growth({&threshold, 1, DType::kFloat32}, buffers[0], buffers[1], buffers[2], 5,
                            9, buffers[3], 2);
  const int64_t total = std::accumulate(pruned.begin(), pruned.end(), int64_t{0});
  const bool placed = std::accumulate(grown.begin(), grown.end(), int64_t{0}) == total;
  return !placed + !(threshold >= 0x1p-126f && threshold <= 0x1p126f);
}

}  // namespace

int main() {
  int wrong = 0;
  for (const float threshold : {0.0f, 1e-45f, 0.5f, 3e38f, INFINITY, -1.0f, NAN}) {
    for (const int64_t share : {int64_t{0}, int64_t{1}, kMost}) {
      for (const int64_t room : {int64_t{0}, int64_t{1}, std::numeric_limits<int64_t>::max()}) {
        wrong += count_wrong({}, share, room, threshold);
        wrong += count_wrong({kMost}, share, room, threshold);
        wrong += count_wrong({kMost - 7, 0, 5, 2, 0}, share, room, threshold);
        wrong += count_wrong(std::vector<int64_t>(200, kMost / 200), share, room, threshold);
      }
    }
  }
  std::printf("%d wrong\n", wrong);
  return wrong == 0 ? 0 : 1;
}
