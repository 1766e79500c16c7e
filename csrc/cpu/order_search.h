// Finds the k-th unit in the order of selection without a sort, for many groups of layers at once.
//
// A candidate's place is (rank << 32) | index, 63 bits, no two alike. A histogram of the upper 11
// bits says which bin holds the k-th; as long as that bin is large, another pass counts the next 11
// bits of the places in it; then the few that are left are collected and the k-th is picked among
// them. Mostly that is two passes over the data, at worst seven. Counts are integers and places
// are distinct: neither the threads nor the order of collecting change the result.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/rank_block.h"

namespace dsr::cpu {

constexpr int64_t kMinCollected = 1 << 12;
constexpr int64_t kMaxCollected = 1 << 18;

struct Order {
  bool largest = false;
  bool skip_nan = false;  // a NaN is no candidate
  bool per_layer = true;  // each layer is a group, its units counted from 0; or all are one

  int64_t group(int64_t layer) const { return per_layer ? layer : 0; }
  int64_t base(const Layer& layer) const { return per_layer ? 0 : layer.shape.unit_offset; }
};

// The search in one group. In question are the places p with p >> shift == prefix.
struct Search {
  int64_t k = 0;           // which of these, counted from 1; 0: there is nothing to find
  int64_t units = 0;       // of the group
  int64_t candidates = 0;  // of the group, known after the first pass
  uint64_t prefix = 0;
  int shift = kPlaceBits;
  bool collecting = false;
  int64_t collected = 0;
  std::vector<uint64_t> places;

  bool counting() const { return k > 0 && !collecting; }
  int digit_bits() const { return std::min(shift, kDigitBits); }
  uint32_t rank() const { return static_cast<uint32_t>(places[k - 1] >> kIndexBits); }
  int64_t tie() const { return static_cast<int64_t>(places[k - 1] & 0xFFFFFFFFu) + 1; }

  // What is selected in a layer whose unit 0 has index `base`.
  Cut cut(int64_t base) const { return k > 0 ? Cut{rank(), tie() - base} : Cut{}; }
};

struct Problem {
  const Work& work;
  Candidates candidates;
  Order order;
  int64_t* nonfinite;  // candidates that are Inf or NaN, a layer; null: not asked for
};

struct Histogram {
  uint32_t bins[2][kBins] = {};
  int64_t layer = -1;
};

inline void flush(const Problem& problem, bool first_pass, Histogram& local,
                  std::vector<uint32_t>& totals) {
  if (local.layer < 0) return;
  uint32_t* total = totals.data() + problem.order.group(local.layer) * kBins;
  int64_t nonfinite = 0;
  const int inf_bin = rank_of(kInfKey, problem.order.largest) >> (kRankBits - kDigitBits);
  for (int bin = 0; bin < kBins; ++bin) {
    const uint32_t count = local.bins[0][bin] + local.bins[1][bin];
    if (count == 0) continue;
    local.bins[0][bin] = local.bins[1][bin] = 0;
    if (bin == inf_bin || bin == kNanBin) nonfinite += count;
#pragma omp atomic
    total[bin] += count;
  }
  if (!first_pass || problem.nonfinite == nullptr) return;
#pragma omp atomic
  problem.nonfinite[local.layer] += nonfinite;
}

template <typename Visit>
void visit_blocks(const Problem& problem, const Chunk& chunk, RankBlock& block, Visit visit) {
  const Layer& layer = problem.work.layers[chunk.layer];
  for (int64_t w = chunk.begin; w < chunk.end; w += kBlockWords) {
    const int words = static_cast<int>(std::min<int64_t>(kBlockWords, chunk.end - w));
    if (!block.read(layer, w, words, problem.candidates, problem.order.largest)) continue;
    visit(problem.order.base(layer) + w * kWordBits);
  }
}

// One pass: the next digit of every place in question, by group.
inline std::vector<uint32_t> count_digits(const Problem& problem, bool first_pass,
                                          const std::vector<Search>& searches) {
  const int64_t chunks = problem.work.chunk_count();
  std::vector<uint32_t> totals(searches.size() * kBins, 0);
#pragma omp parallel num_threads(problem.work.team) if (problem.work.team > 1)
  {
    Histogram local;
    RankBlock block;
    uint64_t places[kBlockUnits];
#pragma omp for schedule(dynamic) nowait
    for (int64_t c = 0; c < chunks; ++c) {
      const Chunk& chunk = problem.work.chunks[c];
      const Search& search = searches[problem.order.group(chunk.layer)];
      if (!search.counting() && !(first_pass && problem.nonfinite != nullptr)) continue;
      if (chunk.layer != local.layer) flush(problem, first_pass, local, totals);
      local.layer = chunk.layer;
      visit_blocks(problem, chunk, block, [&](int64_t first) {
        if (first_pass) return count_upper_bits(block, local.bins[0], local.bins[1]);
        const int found = find_places(block, first, search.prefix, search.shift, places);
        const int bits = search.digit_bits();
        for (int n = 0; n < found; ++n) {
          const uint64_t digit = places[n] >> (search.shift - bits) & ((1u << bits) - 1);
          ++local.bins[n % 2][digit];
        }
      });
    }
    flush(problem, first_pass, local, totals);
  }
  return totals;
}

// Goes on with the bin that holds the k-th place.
inline void narrow(Search& search, const uint32_t* bins) {
  const int bits = search.digit_bits();
  int bin = 0;
  for (; search.k > bins[bin]; ++bin) search.k -= bins[bin];
  search.prefix = search.prefix << bits | static_cast<uint64_t>(bin);
  search.shift -= bits;
  const int64_t limit = std::clamp(search.units / 16, kMinCollected, kMaxCollected);
  search.collecting = bins[bin] <= limit;
  if (search.collecting) search.places.resize(bins[bin]);
}

inline void collect(const Problem& problem, std::vector<Search>& searches) {
  const int64_t chunks = problem.work.chunk_count();
  const int64_t groups = static_cast<int64_t>(searches.size());
#pragma omp parallel num_threads(problem.work.team) if (problem.work.team > 1)
  {
    RankBlock block;
    uint64_t places[kBlockUnits];
#pragma omp for schedule(dynamic)
    for (int64_t c = 0; c < chunks; ++c) {
      const Chunk& chunk = problem.work.chunks[c];
      Search& search = searches[problem.order.group(chunk.layer)];
      if (search.k == 0) continue;
      visit_blocks(problem, chunk, block, [&](int64_t first) {
        const int64_t found = find_places(block, first, search.prefix, search.shift, places);
        int64_t at;
#pragma omp atomic capture
        {
          at = search.collected;
          search.collected += found;
        }
        std::copy_n(places, found, search.places.begin() + at);
      });
    }
#pragma omp for schedule(dynamic)
    for (int64_t g = 0; g < groups; ++g) {
      std::vector<uint64_t>& found = searches[g].places;
      if (searches[g].k > 0) {
        std::nth_element(found.begin(), found.begin() + searches[g].k - 1, found.end());
      }
    }
  }
}

// One search a group, for the wanted[g]-th candidate, or the last where there are fewer.
inline std::vector<Search> search_order(const Problem& problem, const int64_t* wanted,
                                        int64_t groups) {
  std::vector<Search> searches(groups);
  for (int64_t g = 0; g < groups; ++g) searches[g].k = std::max<int64_t>(0, wanted[g]);
  for (int64_t i = 0; i < problem.work.layer_count(); ++i) {
    searches[problem.order.group(i)].units += problem.work.layers[i].units;
  }
  const auto unfinished = [](const Search& search) { return search.counting(); };
  const auto any = [&] { return std::any_of(searches.begin(), searches.end(), unfinished); };
  if (!any() && problem.nonfinite == nullptr) return searches;
  for (bool first_pass = true; first_pass || any(); first_pass = false) {
    std::vector<uint32_t> totals = count_digits(problem, first_pass, searches);
    for (int64_t g = 0; g < groups; ++g) {
      uint32_t* bins = totals.data() + g * kBins;
      Search& search = searches[g];
      if (first_pass) {
        if (problem.order.skip_nan) bins[kNanBin] = 0;
        for (int bin = 0; bin < kBins; ++bin) search.candidates += bins[bin];
        search.k = std::min(search.k, search.candidates);
      }
      if (search.counting()) narrow(search, bins);
    }
  }
  collect(problem, searches);
  return searches;
}

}  // namespace dsr::cpu
