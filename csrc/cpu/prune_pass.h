// What prune_threshold_ and prune_smallest_ share: one pass over the weights that clears the bits
// of the units a cut selects, zeroes their weights and counts.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/key_bits.h"
#include "cpu/unit_keys.h"
#include "cpu/zero_unit.h"

namespace dsr::cpu {

constexpr int64_t kNone = -1;

struct PruneCounts {
  int64_t pruned = 0;
  int64_t surviving = 0;
  int64_t nonfinite = 0;
};

// The unit of largest key, the first among equals, if `cut` selects every active unit of the
// layer; else kNone. Mostly the first word answers that.
inline int64_t find_spared(const Layer& layer, const uint32_t* words, const Cut& cut) {
  uint32_t keys[kWordBits] = {};
  int64_t largest = kNone;
  uint32_t largest_key = 0;
  for (int64_t w = 0; w < words_for(layer.units); ++w) {
    if (words[w] == 0) continue;
    read_keys(layer, w, 1, words + w, keys);
    if (words[w] & ~selected_bits(stored(keys), w * kWordBits, cut)) return kNone;
    for (uint32_t left = words[w]; left != 0; left &= left - 1) {
      const int j = lowest_bit(left);
      if (largest != kNone && keys[j] <= largest_key) continue;
      largest = w * kWordBits + j;
      largest_key = keys[j];
    }
  }
  return largest;
}

// What `cut` selects among whole words of single elements, straight from their magnitudes, which
// are their keys unless one is NaN. Returns whether any is Inf or NaN.
template <typename Type>
DSR_ALWAYS_INLINE bool select_elements(const typename Type::Stored* data, int words, int64_t first,
                                       const Cut& cut, uint32_t* selected) {
  for (int w = 0; w < words; ++w) {
    const auto* values = data + w * kWordBits;
    const auto keys = [values](int j) { return Type::magnitude(values[j]); };
    selected[w] = selected_bits(keys, first + w * kWordBits, cut);
  }
  int32_t largest = 0;
  for (int j = 0; j < words * kWordBits; ++j) {
    largest = std::max(largest, static_cast<int32_t>(Type::magnitude(data[j])));
  }
  return largest >= static_cast<int32_t>(kInfKey);
}

DSR_CLONES static inline bool select_whole_words(const Layer& layer, int64_t begin, int words,
                                                 const Cut& cut, uint32_t* selected) {
  const int64_t first = begin * kWordBits;
  const auto* wide = static_cast<const uint32_t*>(layer.data) + first;
  const auto* narrow = static_cast<const uint16_t*>(layer.data) + first;
  switch (layer.dtype) {
    case DType::kFloat32:
      return select_elements<Float32>(wide, words, first, cut, selected);
    case DType::kBFloat16:
      return select_elements<BFloat16>(narrow, words, first, cut, selected);
    default:
      return select_elements<Float16>(narrow, words, first, cut, selected);
  }
}

DSR_CLONES static inline void select_keys(const uint32_t* keys, int words, int64_t first,
                                          const Cut& cut, uint32_t* selected) {
  for (int w = 0; w < words; ++w) {
    selected[w] = selected_bits(stored(keys + w * kWordBits), first + w * kWordBits, cut);
  }
}

DSR_CLONES static inline int64_t count_nonfinite(const uint32_t* keys, const uint32_t* active,
                                                 int words) {
  int64_t count = 0;
  for (int w = 0; w < words; ++w) {
    count += popcount(active[w] & ~bits_below(stored(keys + w * kWordBits), kInfKey));
  }
  return count;
}

// Clears the bits in `gone` of a block of words. Leaves in `gone` those that were set.
DSR_CLONES static inline void clear_bits(uint32_t* gone, int count, uint32_t* words,
                                         PruneCounts& counts) {
  int64_t pruned = 0;
  int64_t surviving = 0;
  for (int w = 0; w < count; ++w) {
    gone[w] &= words[w];
    words[w] &= ~gone[w];
    pruned += popcount(gone[w]);
    surviving += popcount(words[w]);
  }
  counts.pruned += pruned;
  counts.surviving += surviving;
}

inline PruneCounts prune_chunk(const Layer& layer, const Chunk& chunk, uint32_t* words,
                               const Cut& cut, int64_t spared, bool zero) {
  PruneCounts counts;
  alignas(64) uint32_t keys[kBlockUnits] = {};
  uint32_t gone[kBlockWords];
  for (int64_t begin = chunk.begin; begin < chunk.end; begin += kBlockWords) {
    const int count = static_cast<int>(std::min<int64_t>(kBlockWords, chunk.end - begin));
    uint32_t* block = words + begin;
    if (std::all_of(block, block + count, [](uint32_t word) { return word == 0; })) continue;
    const int64_t first = begin * kWordBits;
    const bool whole = layer.shape.unit_size == 1 && first + count * kWordBits <= layer.units;
    if (!whole || select_whole_words(layer, begin, count, cut, gone)) {
      read_keys(layer, begin, count, block, keys);
      select_keys(keys, count, first, cut, gone);
      counts.nonfinite += count_nonfinite(keys, block, count);
    }
    if (spared >= first && spared < first + count * kWordBits) {
      gone[(spared - first) / kWordBits] &= ~(1u << (spared % kWordBits));
    }
    clear_bits(gone, count, block, counts);
    if (zero) zero_units(layer, begin, count, gone);
  }
  return counts;
}

// One cut a layer. keep_one: a layer that would lose every active unit keeps the largest.
inline void prune(const Work& work, const std::vector<Cut>& cuts, bool zero, bool keep_one,
                  uint32_t* words, const Buffer& pruned, const Buffer& surviving,
                  const Buffer& nonfinite) {
  const int64_t layers = work.layer_count();
  const int64_t chunks = work.chunk_count();
  std::vector<int64_t> spared(layers, kNone);
  std::vector<PruneCounts> counts(chunks);
#pragma omp parallel num_threads(work.team) if (work.team > 1)
  {
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < layers; ++i) {
      const Layer& layer = work.layers[i];
      if (keep_one) spared[i] = find_spared(layer, words + layer.shape.word_offset, cuts[i]);
    }
#pragma omp for schedule(dynamic)
    for (int64_t c = 0; c < chunks; ++c) {
      const Chunk& chunk = work.chunks[c];
      const Layer& layer = work.layers[chunk.layer];
      counts[c] = prune_chunk(layer, chunk, words + layer.shape.word_offset, cuts[chunk.layer],
                              spared[chunk.layer], zero);
    }
  }
  std::fill_n(pruned.as<int64_t>(), layers, 0);
  std::fill_n(surviving.as<int64_t>(), layers, 0);
  std::fill_n(nonfinite.as<int64_t>(), layers, 0);
  for (int64_t c = 0; c < chunks; ++c) {
    const int64_t layer = work.chunks[c].layer;
    pruned.as<int64_t>()[layer] += counts[c].pruned;
    surviving.as<int64_t>()[layer] += counts[c].surviving;
    nonfinite.as<int64_t>()[layer] += counts[c].nonfinite;
  }
}

}  // namespace dsr::cpu
