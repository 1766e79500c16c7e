// Philox4x32-10, the counter-based random numbers of every op (Salmon et al., SC 2011).
#pragma once

#include <cstdint>

#include "common/host_device.h"

namespace dsr {

constexpr int kPhiloxRounds = 10;

struct PhiloxWords {
  uint32_t word[4];
};

DSR_HOST_DEVICE inline PhiloxWords philox4x32(PhiloxWords counter, uint32_t key0, uint32_t key1) {
  uint32_t* c = counter.word;
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c[2];
    c[0] = static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ key0;
    c[1] = static_cast<uint32_t>(p1);
    c[2] = static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ key1;
    c[3] = static_cast<uint32_t>(p0);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
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
