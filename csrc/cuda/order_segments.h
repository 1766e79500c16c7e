// What the second launch of a search keeps for the later ones, so that these need not read the
// values again: the candidates with the first digit sought, an eighth of an octave. They are about
// one in 17 at most if the values are normal, and many only where many values are nearly equal.
//
// Each warp keeps those of its own units of a chunk in a segment of its own, and says how many they
// were. If they did not fit, the same warp of the later launches reads its units again. So nobody
// waits for anybody, and one crowded spot costs no more than that warp's share.
#pragma once

#include <cstdint>

#include "common/select.h"
#include "cuda/lanes.h"
#include "cuda/reduce.h"

namespace dsr::cuda {

constexpr int kFirstDigitBits = 12;
// An entry: the bits of the order behind the first digit, and above them the unit's place among
// those of its warp.
constexpr int kKeptBits = 32 - kFirstDigitBits;
constexpr uint32_t kKeptMask = (1u << kKeptBits) - 1;
static_assert(kMaxChunkUnits / kWarps <= int64_t{1} << kFirstDigitBits);

// Units a warp has of a chunk for each entry that its segment has room for.
constexpr int kUnitsPerEntry = 8;

// The room of a segment: the same in all chunks.
inline int64_t segment_entries(int64_t chunk_units) {
  return (chunk_units + kBlockUnits - 1) / kBlockUnits * (kWarpUnits / kUnitsPerEntry);
}

// The calling warp's part of what is kept of a chunk.
struct Segment {
  uint32_t* entries;
  int32_t* found;  // how many candidates there are, kept or not
  int32_t room;

  __device__ bool holds_all() const { return *found <= room; }
};

struct Segments {
  uint32_t* entries;  // [chunks, kWarps, room]
  int32_t* found;     // [chunks, kWarps]
  int32_t room;

  __device__ Segment of_warp(int64_t chunk) const {
    const int64_t index = chunk * kWarps + threadIdx.x / kLanes;
    return {entries + index * room, found + index, room};
  }
};

// The unit of an entry of the calling warp, counted from the chunk's first: see visit_strips().
__device__ inline int unit_of_entry(uint32_t entry) {
  const int place = static_cast<int>(entry >> kKeptBits);
  const int warp = threadIdx.x / kLanes;
  const int round = place / static_cast<int>(kWarpUnits);
  return round * static_cast<int>(kBlockUnits) + warp * static_cast<int>(kWarpUnits) +
         place % static_cast<int>(kWarpUnits);
}

// Appends this lane's candidates, those with a bit, to the warp's segment, in which there are
// `found` so far. `first` is the warp's first unit as counted from the chunk's first. All lanes of
// a warp together.
template <typename Reader>
__device__ void keep(const Segment& segment, int& found, int64_t first, uint32_t bits,
                     const uint32_t (&orders)[kStrip]) {
  const uint32_t before = (1u << lane()) - 1;
  const uint32_t round = static_cast<uint32_t>(first) / static_cast<uint32_t>(kBlockUnits);
#pragma unroll
  for (int j = 0; j < kStrip; ++j) {
    const bool mine = bits >> j & 1u;
    const uint32_t lanes = __ballot_sync(kAllLanes, mine);
    const int at = found + __popc(lanes & before);
    if (mine && at < segment.room) {
      const uint32_t place = round * static_cast<uint32_t>(kWarpUnits) + Reader::place(j);
      segment.entries[at] = place << kKeptBits | (orders[j] & kKeptMask);
    }
    found += __popc(lanes);
  }
}

// Calls visit(bits, entries) until the warp has had its whole segment, which must hold all. Entries
// without a bit mean nothing. All lanes of a warp together.
template <typename Visit>
__device__ void visit_entries(const Segment& segment, Visit visit) {
  const int found = *segment.found;
  for (int first = 0; first < found; first += kLanes * kStrip) {
    const int at = first + lane() * kStrip;
    uint4 four = {};
    if (at < found) four = *reinterpret_cast<const uint4*>(segment.entries + at);
    const uint32_t entries[kStrip] = {four.x, four.y, four.z, four.w};
    visit(low_bits(max(0, min(found - at, kStrip))), entries);
  }
}

}  // namespace dsr::cuda
