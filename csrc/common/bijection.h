// A keyed bijection on [0, size): a Feistel network of 12 rounds with cycle walking.
//
// The network permutes [0, 2^bits). A value that falls outside [0, size) goes through it again,
// which ends inside because a permutation's cycle comes back to where it began.
#pragma once

#include <cstdint>

#include "common/host_device.h"
#include "common/philox.h"

namespace dsr {

constexpr int kFeistelRounds = 12;

// Bits of the network for a size in [1, 2^32]: as few as hold it, but 4 instead of 3, since halves
// of 1 and 2 bits mix too slowly.
DSR_HOST_DEVICE constexpr int domain_bits(int64_t size) {
  int bits = 0;
  while (((size - 1) >> bits) > 0) ++bits;
  return bits == 3 ? 4 : bits;
}

struct Bijection {
  int64_t size;
  int low_bits;
  uint32_t low_mask;
  uint32_t high_mask;
  uint32_t keys[kFeistelRounds];
};

// The round keys are the words of the stream at index 0, 1 and 2.
DSR_HOST_DEVICE inline Bijection make_bijection(int64_t size, const RandomStream& stream) {
  const int bits = domain_bits(size);
  const int high_bits = bits / 2;
  Bijection b = {};
  b.size = size;
  b.low_bits = bits - high_bits;
  b.low_mask = (1u << b.low_bits) - 1;
  b.high_mask = (1u << high_bits) - 1;
  for (int i = 0; i < kFeistelRounds / 4; ++i) {
    const PhiloxWords words = random_words(i, stream);
    for (int j = 0; j < 4; ++j) b.keys[4 * i + j] = words.word[j];
  }
  return b;
}

// The 32-bit finaliser of MurmurHash3 (Appleby).
DSR_HOST_DEVICE inline uint32_t mix(uint32_t value) {
  value = (value ^ value >> 16) * 0x85EBCA6Bu;
  value = (value ^ value >> 13) * 0xC2B2AE35u;
  return value ^ value >> 16;
}

// Permutes [0, 2^bits): the two halves are changed in turn, each by a hash of the other.
DSR_HOST_DEVICE inline uint32_t feistel(uint32_t value, const Bijection& b) {
  uint32_t high = value >> b.low_bits;
  uint32_t low = value & b.low_mask;
  for (int r = 0; r < kFeistelRounds; r += 2) {
    low ^= mix(high ^ b.keys[r]) & b.low_mask;
    high ^= mix(low ^ b.keys[r + 1]) & b.high_mask;
  }
  return high << b.low_bits | low;
}

// The place of a rank in [0, size).
DSR_HOST_DEVICE inline int64_t permute(int64_t rank, const Bijection& b) {
  uint32_t place = static_cast<uint32_t>(rank);
  do {
    place = feistel(place, b);
  } while (place >= b.size);
  return place;
}

}  // namespace dsr
