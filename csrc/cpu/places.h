// The places of a layer where a unit may grow: counting them, and activating the drawn ones.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/bits.h"
#include "common/select.h"
#include "cpu/team.h"

namespace dsr::cpu {

constexpr int64_t kChunkWords = 1 << 10;
constexpr int kLanes = 16;

enum class Places { kFree, kJustPruned };  // inactive in both masks; active in `previous` only

struct LayerPlaces {
  uint32_t* words;
  const uint32_t* previous;
  int64_t units;
  Places kind;
};

inline uint32_t places_in(const LayerPlaces& layer, int64_t word) {
  const uint32_t before = layer.previous[word];
  return ~layer.words[word] & (layer.kind == Places::kFree ? ~before : before) &
         unit_bits(word, layer.units);
}

DSR_CLONES static inline int64_t count_places(const LayerPlaces& layer, int64_t begin,
                                              int64_t end) {
  int64_t count = 0;
  for (int64_t w = begin; w < end; ++w) count += popcount(places_in(layer, w));
  return count;
}

inline void activate_all(const LayerPlaces& layer, int64_t begin, int64_t end) {
  for (int64_t w = begin; w < end; ++w) layer.words[w] |= places_in(layer, w);
}

// deposit_bits for many words at once: a hole of each at a time vectorises, and few words have
// many. Needs kLanes - 1 entries behind the last.
inline void deposit_all(uint32_t* bits, uint32_t* holes, int count) {
  std::fill_n(bits + count, kLanes - 1, 0u);
  std::fill_n(holes + count, kLanes - 1, 0u);
  for (int first = 0; first < count; first += kLanes) {
    uint32_t left = 0;
    do {
      left = 0;
      for (int i = first; i < first + kLanes; ++i) {
        skip_hole(bits[i], holes[i]);
        left |= holes[i];
      }
    } while (left != 0);
  }
}

// Words [begin, end), at most kChunkWords, whose first place is number `place`. Few of them take a
// new unit, and which ones cannot be predicted: they are listed without a branch.
DSR_CLONES static inline void activate_chosen(const LayerPlaces& layer, int64_t begin, int64_t end,
                                              const uint32_t* chosen, int64_t place) {
  int32_t growing[kChunkWords];
  uint32_t drawn[kChunkWords + kLanes];
  uint32_t holes[kChunkWords + kLanes];
  int listed = 0;
  for (int64_t w = begin; w < end; ++w) {
    const uint32_t places = places_in(layer, w);
    const int count = popcount(places);
    growing[listed] = static_cast<int32_t>(w - begin);
    drawn[listed] = bits_from(chosen, place) & low_bits(count);
    holes[listed] = ~places;
    listed += drawn[listed] != 0;
    place += count;
  }
  deposit_all(drawn, holes, listed);
  for (int i = 0; i < listed; ++i) layer.words[begin + growing[i]] |= drawn[i];
}

}  // namespace dsr::cpu
