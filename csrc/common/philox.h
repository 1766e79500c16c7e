// Philox4x32-10, the counter-based random numbers of every op (Salmon et al., SC 2011).
#pragma once

#include <cstdint>

#include "common/host_device.h"

namespace dsr {

constexpr int kPhiloxRounds = 10;
constexpr uint32_t kPhiloxWeyl0 = 0x9E3779B9u;  // added to the keys after each round
constexpr uint32_t kPhiloxWeyl1 = 0xBB67AE85u;

struct PhiloxWords {
  uint32_t word[4];
};

DSR_HOST_DEVICE inline PhiloxWords philox_round(PhiloxWords c, uint32_t key0, uint32_t key1) {
  const uint64_t p0 = uint64_t{0xD2511F53u} * c.word[0];
  const uint64_t p1 = uint64_t{0xCD9E8D57u} * c.word[2];
  return {{static_cast<uint32_t>(p1 >> 32) ^ c.word[1] ^ key0, static_cast<uint32_t>(p1),
           static_cast<uint32_t>(p0 >> 32) ^ c.word[3] ^ key1, static_cast<uint32_t>(p0)}};
}

DSR_HOST_DEVICE inline PhiloxWords philox4x32(PhiloxWords counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < kPhiloxRounds; ++round) {
    counter = philox_round(counter, key0, key1);
    key0 += kPhiloxWeyl0;
    key1 += kPhiloxWeyl1;
  }
  return counter;
}

// What a stream of random numbers belongs to. A purpose has 16 bits.
struct RandomStream {
  uint64_t seed;
  uint32_t purpose;
  uint32_t layer;
  uint32_t reallocation;
};

// The words drawn at an index below 2^48.
DSR_HOST_DEVICE inline PhiloxWords random_words(int64_t index, const RandomStream& stream) {
  const uint64_t i = static_cast<uint64_t>(index);
  const PhiloxWords counter = {{static_cast<uint32_t>(i),
                                static_cast<uint32_t>(i >> 32) | stream.purpose << 16, stream.layer,
                                stream.reallocation}};
  return philox4x32(counter, static_cast<uint32_t>(stream.seed),
                    static_cast<uint32_t>(stream.seed >> 32));
}

}  // namespace dsr
