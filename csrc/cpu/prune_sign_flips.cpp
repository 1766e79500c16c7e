// prune_sign_flips_ on the CPU: every active unit whose weight changed its sign becomes inactive,
// and the signs of the others are written down.
//
// Moves: every weight once in, three bits a unit in and out, the pruned weights out. 32 weights
// become three words of bits; words without active units are not looked at. Every unit belongs to
// one thread and the counts are integers: any thread count gives the same result.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "cpu/key_bits.h"
#include "cpu/launchers.h"
#include "cpu/unit_keys.h"
#include "cpu/zero_unit.h"

namespace dsr::cpu {
namespace {

constexpr int32_t kNegativeZero = std::numeric_limits<int32_t>::min();

// A bit for each of 32 weights. A NaN and a zero are neither positive nor negative.
struct Signs {
  uint32_t positive;
  uint32_t negative;
  uint32_t nonfinite;
};

struct SignWords {
  uint32_t* active;
  uint32_t* positive;
  uint32_t* negative;
};

struct Counts {
  int64_t pruned = 0;
  int64_t surviving = 0;
  int64_t nonfinite = 0;
};

// Stored bits at the top of an int32 order like their floats: above 0 as they are, and of the
// negative ones, from -0 = the smallest int32 on, the larger the further from 0.
template <typename Stored, int32_t kInf>
DSR_ALWAYS_INLINE Signs signs_of(const Stored* weights) {
  constexpr int kShift = 32 - 8 * static_cast<int>(sizeof(Stored));
  const auto bits = [weights](int j) { return static_cast<uint32_t>(weights[j]) << kShift; };
  Signs signs = {};
  signs.positive = compare_word(bits, [](int32_t v) { return v > 0 && v <= kInf; });
  signs.negative =
      compare_word(bits, [](int32_t v) { return v > kNegativeZero && v <= kNegativeZero + kInf; });
  signs.nonfinite = compare_word(bits, [](int32_t v) { return (v & 0x7FFFFFFF) >= kInf; });
  return signs;
}

DSR_ALWAYS_INLINE uint32_t update_word(const Signs& signs, int64_t w, uint32_t units,
                                       const SignWords& words, Counts& counts) {
  const uint32_t active = words.active[w] & units;
  const uint32_t flipped =
      active & ((signs.negative & words.positive[w]) | (signs.positive & words.negative[w]));
  const uint32_t kept = active & ~flipped;
  words.active[w] &= ~flipped;
  words.positive[w] = signs.positive & kept;
  words.negative[w] = signs.negative & kept;
  counts.pruned += popcount(flipped);
  counts.surviving += popcount(kept);
  counts.nonfinite += popcount(signs.nonfinite & active);
  return flipped;
}

// Words [begin, begin + count) of a layer; `gone` gets the pruned bits of each.
template <typename Stored, int32_t kInf>
DSR_ALWAYS_INLINE Counts update_words(const Layer& layer, int64_t begin, int count,
                                      const SignWords& words, uint32_t* gone) {
  const auto* weights = static_cast<const Stored*>(layer.data);
  Counts counts;
  for (int n = 0; n < count; ++n) {
    const int64_t w = begin + n;
    const int64_t first = w * kWordBits;
    Signs signs = {};
    if (words.active[w] != 0 && first + kWordBits <= layer.units) {
      signs = signs_of<Stored, kInf>(weights + first);
    } else if (words.active[w] != 0) {
      Stored last[kWordBits] = {};
      std::copy_n(weights + first, layer.units - first, last);
      signs = signs_of<Stored, kInf>(last);
    }
    gone[n] = update_word(signs, w, unit_bits(w, layer.units), words, counts);
  }
  return counts;
}

DSR_CLONES Counts update_block(const Layer& layer, int64_t begin, int count, const SignWords& words,
                               uint32_t* gone) {
  switch (layer.dtype) {
    case DType::kFloat32:
      return update_words<uint32_t, 0x7F800000>(layer, begin, count, words, gone);
    case DType::kBFloat16:
      return update_words<uint16_t, 0x7F800000>(layer, begin, count, words, gone);
    default:
      return update_words<uint16_t, 0x7C000000>(layer, begin, count, words, gone);
  }
}

Counts prune_flipped(const Layer& layer, const Chunk& chunk, const SignWords& words, bool zero) {
  Counts total;
  uint32_t gone[kBlockWords];
  for (int64_t begin = chunk.begin; begin < chunk.end; begin += kBlockWords) {
    const int count = static_cast<int>(std::min<int64_t>(kBlockWords, chunk.end - begin));
    const Counts counts = update_block(layer, begin, count, words, gone);
    total.pruned += counts.pruned;
    total.surviving += counts.surviving;
    total.nonfinite += counts.nonfinite;
    if (zero && counts.pruned > 0) zero_units(layer, begin, count, gone);
  }
  return total;
}

}  // namespace

void prune_sign_flips(const std::vector<Buffer>& weights, const Buffer& words,
                      const Buffer& positive, const Buffer& negative, const Buffer& table,
                      bool zero, const Buffer& pruned, const Buffer& surviving,
                      const Buffer& nonfinite, int threads) {
  const Work work = divide_work(weights, table, threads);
  const int64_t chunks = work.chunk_count();
  std::vector<Counts> counts(chunks);
#pragma omp parallel for schedule(dynamic) num_threads(work.team) if (work.team > 1)
  for (int64_t c = 0; c < chunks; ++c) {
    const Layer& layer = work.layers[work.chunks[c].layer];
    const int64_t first = layer.shape.word_offset;
    const SignWords own = {words.as<uint32_t>() + first, positive.as<uint32_t>() + first,
                           negative.as<uint32_t>() + first};
    counts[c] = prune_flipped(layer, work.chunks[c], own, zero);
  }
  std::fill_n(pruned.as<int64_t>(), work.layer_count(), 0);
  std::fill_n(surviving.as<int64_t>(), work.layer_count(), 0);
  std::fill_n(nonfinite.as<int64_t>(), work.layer_count(), 0);
  for (int64_t c = 0; c < chunks; ++c) {
    const int64_t layer = work.chunks[c].layer;
    pruned.as<int64_t>()[layer] += counts[c].pruned;
    surviving.as<int64_t>()[layer] += counts[c].surviving;
    nonfinite.as<int64_t>()[layer] += counts[c].nonfinite;
  }
}

}  // namespace dsr::cpu
