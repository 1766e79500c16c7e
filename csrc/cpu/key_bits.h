// Comparing 32 keys at once: the result is a word with one bit a key. Keys are below 2^31.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/keys.h"
#include "common/select.h"
#include "cpu/unit_keys.h"

namespace dsr::cpu {

// Selected are the keys below `key`, and those equal to it whose unit lies before `tie`.
struct Cut {
  uint32_t key = 0;
  int64_t tie = 0;
};

// Bit j, as a table: baseline x86-64 has no vector shift by a variable.
inline constexpr uint32_t kBit[kWordBits] = {
    1u << 0,  1u << 1,  1u << 2,  1u << 3,  1u << 4,  1u << 5,  1u << 6,  1u << 7,
    1u << 8,  1u << 9,  1u << 10, 1u << 11, 1u << 12, 1u << 13, 1u << 14, 1u << 15,
    1u << 16, 1u << 17, 1u << 18, 1u << 19, 1u << 20, 1u << 21, 1u << 22, 1u << 23,
    1u << 24, 1u << 25, 1u << 26, 1u << 27, 1u << 28, 1u << 29, 1u << 30, 1u << 31};

// Compilers turn this into vector compare, and, or. `keys` is called with 0 .. 31.
template <typename Keys, typename Compare>
DSR_ALWAYS_INLINE uint32_t compare_word(Keys keys, Compare compare) {
  uint32_t bits = 0;
  for (int j = 0; j < kWordBits; ++j) {
    bits |= compare(static_cast<int32_t>(keys(j))) ? kBit[j] : 0u;
  }
  return bits;
}

template <typename Keys>
DSR_ALWAYS_INLINE uint32_t bits_below(Keys keys, uint32_t limit) {
  const int32_t bound = static_cast<int32_t>(limit);
  return compare_word(keys, [bound](int32_t key) { return key < bound; });
}

template <typename Keys>
DSR_ALWAYS_INLINE uint32_t bits_above(Keys keys, uint32_t limit) {
  const int32_t bound = static_cast<int32_t>(limit);
  return compare_word(keys, [bound](int32_t key) { return key > bound; });
}

template <typename Keys>
DSR_ALWAYS_INLINE uint32_t bits_equal(Keys keys, uint32_t value) {
  const int32_t bound = static_cast<int32_t>(value);
  return compare_word(keys, [bound](int32_t key) { return key == bound; });
}

// Keys, or ranks, that lie in memory.
DSR_ALWAYS_INLINE auto stored(const uint32_t* keys) {
  return [keys](int j) { return keys[j]; };
}

// What `cut` selects of units first .. first + 31.
template <typename Keys>
DSR_ALWAYS_INLINE uint32_t selected_bits(Keys keys, int64_t first, const Cut& cut) {
  uint32_t bits = bits_below(keys, cut.key);
  if (cut.tie > first) {
    const int before = static_cast<int>(std::min<int64_t>(cut.tie - first, kWordBits));
    bits |= bits_equal(keys, cut.key) & low_bits(before);
  }
  return bits;
}

// Copies the keys with a bit in `wanted` behind each other into `found`, which has room for
// kGatherRoom. Takes four set bits at a time: how many a word has is hard to predict, and mostly
// it is fewer.
constexpr int kGatherStep = 4;
constexpr int kGatherRoom = kBlockUnits + kGatherStep;

DSR_ALWAYS_INLINE int gather_keys(const uint32_t* keys, const uint32_t* wanted, int words,
                                  uint32_t* found) {
  int count = 0;
  for (int w = 0; w < words; ++w, keys += kWordBits) {
    uint32_t left = wanted[w];
    const int total = popcount(left);
    for (int n = 0; n < total; n += kGatherStep) {
      for (int i = 0; i < kGatherStep; ++i, left &= left - 1) {
        found[count + n + i] = keys[lowest_bit(left | 1u << (kWordBits - 1))];
      }
    }
    count += total;
  }
  return count;
}

}  // namespace dsr::cpu
