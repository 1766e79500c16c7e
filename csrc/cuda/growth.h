// What the blocks of grow_random_ hand to each other: which places there are and how many lie
// before each, and the ranks and bijections of every draw.
#pragma once

#include <cstdint>

#include "common/bijection.h"
#include "common/bits.h"
#include "common/layout.h"
#include "common/select.h"
#include "cuda/chunks.h"
#include "cuda/scan.h"

namespace dsr::cuda {

constexpr int kPlaceWords = 32;  // words of a stretch, whose places are counted
constexpr int kStretches = 32;   // most stretches of a chunk
constexpr int kQuadWords = 4;    // a layer has whole quads of words
constexpr int kHalfQuads = kPlaceWords / kQuadWords / 2;  // half a stretch
constexpr uint32_t kFallback = 0x8000;  // added to the purpose where a layer just pruned

// Two kinds of places: inactive in both masks, and active in `previous` only. Counts of both
// travel in one number.
constexpr int kKinds = 2;

static_assert(sizeof(Bijection) == 9 * sizeof(int64_t), "dsr_kernels/cuda_plan.py says 9 too");

struct Growth {
  uint32_t* words;
  const uint32_t* previous;
  const int64_t* table;
  const int64_t* counts;
  const int64_t* reallocation;
  int64_t* grown;
  uint64_t seed;
  uint32_t purpose;
  int64_t layers;
  int64_t word_count;
  Chunks chunks;
  int64_t chunk_count;
  int64_t stretches;        // of a chunk
  uint32_t* places;         // [kinds, word_count]: a bit a place
  uint32_t* stretch_first;  // [chunks, stretches]: places of the chunk before, 16 bits a kind
  Sum* chunk_first;         // [chunks + 1]: places of all layers before, 32 bits a kind
  int64_t* rank_first;      // [draws + 1]: ranks of all draws before
  Bijection* bijections;    // [draws]; draw = kinds * layer + kind

  DSR_HOST_DEVICE int64_t draws() const { return layers * kKinds; }

  __device__ int64_t places_before(int64_t chunk, int64_t kind) const {
    return static_cast<uint32_t>(chunk_first[chunk] >> (32 * kind));
  }
  __device__ int64_t places_of(int64_t layer, int64_t kind) const {
    return places_before(chunks.first_of[layer + 1], kind) -
           places_before(chunks.first_of[layer], kind);
  }
  // Units that one draw activates.
  __device__ int64_t number_of(int64_t layer, int64_t kind) const {
    const int64_t wanted = max(counts[layer], int64_t{0});
    const int64_t free = min(wanted, places_of(layer, 0));
    return kind == 0 ? free : min(wanted - free, places_of(layer, 1));
  }
  __device__ RandomStream stream_of(int64_t layer, int64_t kind) const {
    return {seed, purpose + (kind == 0 ? 0 : kFallback), static_cast<uint32_t>(layer),
            static_cast<uint32_t>(*reallocation)};
  }
};

__device__ inline int64_t padded_words(int64_t units) {
  return (units + kQuadWords * kWordBits - 1) / (kQuadWords * kWordBits) * kQuadWords;
}

// Sets the bit of place number `place`, given the quads of its stretch and how many of them the
// layer has. `place` counts from the stretch's first.
__device__ inline void activate_in(const uint4* quads, int64_t count, int place, uint32_t* words) {
  uint32_t chosen = 0;
  int index = 0;
  for (int first = 0; chosen == 0 && first < count; first += kHalfQuads) {
    uint4 loaded[kHalfQuads];
#pragma unroll
    for (int q = 0; q < kHalfQuads; ++q) {
      loaded[q] = first + q < count ? quads[first + q] : uint4{0, 0, 0, 0};
    }
#pragma unroll
    for (int w = 0; w < kHalfQuads * kQuadWords; ++w) {
      const uint4 quad = loaded[w / kQuadWords];
      const uint32_t word = w % 4 == 0   ? quad.x
                            : w % 4 == 1 ? quad.y
                            : w % 4 == 2 ? quad.z
                                         : quad.w;
      const int found = popcount(word);
      if (chosen != 0) continue;
      if (place < found) {
        chosen = word;
        index = first * kQuadWords + w;
      } else {
        place -= found;
      }
    }
  }
  if (chosen != 0) atomicOr(words + index, 1u << select_bit(chosen, place));
}

// Activates place number `place` of a layer.
__device__ inline void activate(const Growth& growth, int64_t layer, int64_t kind, int64_t place) {
  const int64_t first_chunk = growth.chunks.first_of[layer];
  const int64_t wanted = growth.places_before(first_chunk, kind) + place;
  const int64_t chunk = last_where(first_chunk, growth.chunks.first_of[layer + 1], [&](int64_t c) {
    return growth.places_before(c, kind) <= wanted;
  });
  const uint32_t* before = growth.stretch_first + chunk * growth.stretches;
  const auto first_of = [&](int64_t s) { return before[s] >> (16 * kind) & 0xFFFFu; };
  const uint32_t in_chunk = static_cast<uint32_t>(wanted - growth.places_before(chunk, kind));
  const int64_t stretch =
      last_where(0, growth.stretches, [&](int64_t s) { return first_of(s) <= in_chunk; });
  const LayerShape shape = read_layer(growth.table, layer);
  const int64_t word =
      (chunk - first_chunk) * (growth.chunks.chunk_units / kWordBits) + stretch * kPlaceWords;
  const int64_t at = shape.word_offset + word;
  const uint32_t* places = growth.places + kind * growth.word_count + at;
  activate_in(reinterpret_cast<const uint4*>(places),
              min((padded_words(shape.units()) - word) / kQuadWords, int64_t{2 * kHalfQuads}),
              static_cast<int>(in_chunk - first_of(stretch)), growth.words + at);
}

}  // namespace dsr::cuda
