// Counting and finding set bits in words.
#pragma once

#include <cstdint>

#include "common/bits.h"
#include "common/host_device.h"

namespace dsr {

// Sums of neighbouring bits: each field of 2, 4, 8 bits holds the number of bits set in it.
struct BitSums {
  uint32_t of2;
  uint32_t of4;
  uint32_t of8;
};

DSR_HOST_DEVICE inline BitSums bit_sums(uint32_t word) {
  BitSums sums = {};
  sums.of2 = word - ((word >> 1) & 0x55555555u);
  sums.of4 = (sums.of2 & 0x33333333u) + ((sums.of2 >> 2) & 0x33333333u);
  sums.of8 = (sums.of4 + (sums.of4 >> 4)) & 0x0F0F0F0Fu;
  return sums;
}

DSR_HOST_DEVICE inline int popcount(uint32_t word) {
#ifdef __CUDA_ARCH__
  return __popc(word);
#else
  // Compilers turn this into one instruction where there is one, and vectorise it elsewhere.
  return static_cast<int>((bit_sums(word).of8 * 0x01010101u) >> 24);
#endif
}

// The position of set bit number `rank`, counted from 0 at the lowest; rank < popcount(word).
DSR_HOST_DEVICE inline int select_bit(uint32_t word, int rank) {
  const BitSums sums = bit_sums(word);
  // Byte j: bits set in bytes 0 .. j.
  const uint32_t up_to = sums.of8 * 0x01010101u;
  const uint32_t wanted = static_cast<uint32_t>(rank);
  int at = 0;
  for (int byte = 0; byte < 3; ++byte) at += ((up_to >> (8 * byte)) & 0xFFu) <= wanted ? 8 : 0;
  uint32_t left = wanted - (at > 0 ? (up_to >> (at - 8)) & 0xFFu : 0);
  const auto skip = [&](uint32_t below, int bits) {
    const bool beyond = left >= below;
    left -= beyond ? below : 0;
    at += beyond ? bits : 0;
  };
  skip((sums.of4 >> at) & 0xFu, 4);
  skip((sums.of2 >> at) & 0x3u, 2);
  skip((word >> at) & 0x1u, 1);
  return at;
}

// One step of deposit_bits: the bits above the lowest hole move up by one, and the hole is done.
// Does nothing where no hole is left.
DSR_HOST_DEVICE inline void skip_hole(uint32_t& bits, uint32_t& holes) {
  const uint32_t lowest = holes & (0u - holes);
  bits += bits & (0u - lowest);
  holes ^= lowest;
}

// Moves bit i of `bits` to the i-th set bit of `mask`; bits beyond popcount(mask) must be 0.
DSR_HOST_DEVICE inline uint32_t deposit_bits(uint32_t bits, uint32_t mask) {
  for (uint32_t holes = ~mask; holes != 0;) skip_hole(bits, holes);
  return bits;
}

// The lowest `count` bits, count in [0, 32].
DSR_HOST_DEVICE inline uint32_t low_bits(int count) {
  return count == 0 ? 0 : kAllActive >> (kWordBits - count);
}

// The bits of word `index` that stand for units; the others are padding.
DSR_HOST_DEVICE inline uint32_t unit_bits(int64_t index, int64_t units) {
  const int64_t left = units - index * kWordBits;
  return left >= kWordBits ? kAllActive : low_bits(left > 0 ? static_cast<int>(left) : 0);
}

// The 32 bits from position `first` on. Reads two words.
DSR_HOST_DEVICE inline uint32_t bits_from(const uint32_t* words, int64_t first) {
  const uint64_t position = static_cast<uint64_t>(first);  // divides faster than a signed one
  const uint32_t* at = words + position / kWordBits;
  const uint64_t pair = at[0] | uint64_t{at[1]} << 32;
  return static_cast<uint32_t>(pair >> (position % kWordBits));
}

// The position of the lowest set bit; word != 0.
DSR_HOST_DEVICE inline int lowest_bit(uint32_t word) {
#if defined(__CUDA_ARCH__)
  return __ffs(static_cast<int>(word)) - 1;
#elif defined(__GNUC__)
  return __builtin_ctz(word);
#else
  return popcount((word & (0u - word)) - 1);
#endif
}

}  // namespace dsr
