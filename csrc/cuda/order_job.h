// What the launches of a search share.
#pragma once

#include <cstdint>

#include "cuda/order_search.h"
#include "cuda/order_segments.h"

namespace dsr::cuda {

constexpr int kBins = 1 << kFirstDigitBits;

// Where a layer's values are: the last block of a launch may look into any layer of its group,
// also one of another launch.
struct LayerData {
  unsigned long long address;
  int dtype;
};
constexpr int kPlaceValues = sizeof(LayerData) / sizeof(int64_t);

struct Job {
  Candidates candidates;
  Chunks chunks;
  const int64_t* table;
  int64_t layers;
  int64_t all_chunks;
  const int64_t* k;
  Search* searches;   // [groups]
  LayerData* places;  // [layers]
  uint32_t* bins;     // [groups, kBins], 0 between the launches
  int32_t* counters;  // [groups], likewise
  int32_t* ties;      // [chunks]
  Segments segments;
  CutOutputs outputs;

  __device__ int64_t first_chunk(const Span& span) const {
    return candidates.per_layer ? chunks.first_of[span.layer] : 0;
  }
  __device__ int64_t group_chunks(const Span& span) const {
    return candidates.per_layer ? chunks.count_of(span.layer) : all_chunks;
  }
};

// The last of a search's launches, on the layers of `tensors`.
void find_ties(const char* op, const LayerTensors& tensors, const Job& job, int64_t blocks,
               uintptr_t stream);

}  // namespace dsr::cuda
