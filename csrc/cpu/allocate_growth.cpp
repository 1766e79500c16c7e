// allocate_growth on the CPU: adapts the threshold, then splits the pruned units over the layers.
//
// A few integers a layer: one thread. No product leaves an int64, because both of its factors are
// at most 3e9.

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "cpu/launchers.h"

namespace dsr::cpu {
namespace {

using Counts = std::vector<int64_t>;

constexpr int64_t kMaxTotalUnits = 3'000'000'000;
constexpr float kLowestThreshold = 0x1p-126f;
constexpr float kHighestThreshold = 0x1p126f;

Counts clamped(const Buffer& buffer) {
  const int64_t* values = buffer.as<int64_t>();
  Counts counts(static_cast<size_t>(buffer.size));
  for (size_t i = 0; i < counts.size(); ++i) {
    counts[i] = std::clamp<int64_t>(values[i], 0, kMaxTotalUnits);
  }
  return counts;
}

int64_t sum(const Counts& counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

void adapt(float& threshold, int64_t total, int64_t lower, int64_t upper) {
  if (total > upper) {
    threshold *= 0.5f;
  } else if (total < lower) {
    threshold *= 2.0f;
  }
  // A NaN is below everything here.
  if (!(threshold >= kLowestThreshold)) threshold = kLowestThreshold;
  if (!(threshold <= kHighestThreshold)) threshold = kHighestThreshold;
}

// `total` in proportion to `weights`: the floors, then one each by largest remainder, the lower
// layer first.
Counts largest_remainder(int64_t total, const Counts& weights) {
  const int64_t whole = sum(weights);
  Counts quotas(weights.size());
  Counts remainders(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    quotas[i] = weights[i] * total / whole;
    remainders[i] = weights[i] * total % whole;
  }
  std::vector<size_t> order(weights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto left = order.begin() + (total - sum(quotas));
  std::nth_element(order.begin(), left, order.end(), [&](size_t a, size_t b) {
    return remainders[a] != remainders[b] ? remainders[a] > remainders[b] : a < b;
  });
  for (auto layer = order.begin(); layer != left; ++layer) ++quotas[*layer];
  return quotas;
}

// Adds places for `remaining` units to `grown`, in proportion to `shares` and at most `room` a
// layer. Returns how many found none.
int64_t split(int64_t remaining, const Counts& shares, Counts room, int64_t* grown) {
  Counts weights(room.size());
  while (remaining > 0 && sum(room) > 0) {
    for (size_t i = 0; i < room.size(); ++i) weights[i] = room[i] > 0 ? shares[i] : 0;
    const Counts quotas = largest_remainder(remaining, sum(weights) > 0 ? weights : room);
    for (size_t i = 0; i < room.size(); ++i) {
      const int64_t take = std::min(quotas[i], room[i]);
      grown[i] += take;
      room[i] -= take;
      remaining -= take;
    }
  }
  return remaining;
}

}  // namespace

void allocate_growth(const Buffer& threshold, const Buffer& pruned, const Buffer& shares,
                     const Buffer& capacity, int64_t lower, int64_t upper, const Buffer& grown,
                     int /*threads*/) {
  const Counts just_pruned = clamped(pruned);
  const Counts in_proportion_to = clamped(shares);
  const int64_t total = std::min(sum(just_pruned), kMaxTotalUnits);
  if (threshold.size > 0) adapt(*threshold.as<float>(), total, lower, upper);
  int64_t* out = grown.as<int64_t>();
  std::fill_n(out, grown.size, int64_t{0});
  const int64_t left = split(total, in_proportion_to, clamped(capacity), out);
  split(left, in_proportion_to, just_pruned, out);
}

}  // namespace dsr::cpu
