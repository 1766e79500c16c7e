// grow_random_ on a GPU: the first ranks of a keyed bijection over each layer's places, activated,
// all layers in one launch.
//
// A block's role is the ticket it draws when it starts, not its number in the grid:
// 1. The first tickets count. Each writes down the places of one chunk, as bits and as running
//    counts for every 1024 of them.
// 2. The last of these to end sums the counts over chunks, gives ranks to the draws and makes
//    their bijections.
// 3. The other tickets wait for that, then take ranks: a rank's place is found by two binary
//    searches and the popcounts of 32 words, and its bit is set. A block that waits got its ticket
//    after all that count, which therefore run: no deadlock.
//
// Moves: two bits a unit in, two out, about 300 bytes a unit grown. The set of drawn places depends
// neither on the order of the ranks nor on that of the blocks, and setting bits is atomic.

#include "cuda/growth.h"
#include "cuda/last_block.h"
#include "cuda/launch.h"
#include "cuda/launchers.h"

namespace dsr::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWordBits;
constexpr int kSteps = kStretches / kWarps;
constexpr int64_t kPlacingBlocks = 1056;  // 8 for each multiprocessor of an H200

// Counters, all 0 before and after.
enum { kTickets, kCounted, kReady, kPlaced };

__device__ void count_places(const Growth& growth, int64_t chunk) {
  __shared__ uint32_t found[kStretches];
  const int lane = threadIdx.x % kWordBits;
  const int warp = threadIdx.x / kWordBits;
  const int64_t layer = growth.chunks.layer_of[chunk];
  const LayerShape shape = read_layer(growth.table, layer);
  const int64_t units = shape.units();
  const int64_t first = growth.chunks.begin(chunk, layer) / kWordBits;  // of the layer's words
  const int64_t end = min(padded_words(units), first + growth.chunks.chunk_units / kWordBits);
  uint32_t now[kSteps];
  uint32_t before[kSteps];
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    const int64_t word = first + (step * kWarps + warp) * kPlaceWords + lane;
    now[step] = word < end ? growth.words[shape.word_offset + word] : 0;
    before[step] = word < end ? growth.previous[shape.word_offset + word] : 0;
  }
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    const int stretch = step * kWarps + warp;
    const int64_t word = first + stretch * kPlaceWords + lane;
    const uint32_t inactive = word < end ? ~now[step] & unit_bits(word, units) : 0;
    const uint32_t free = inactive & ~before[step];
    const uint32_t just_pruned = inactive & before[step];
    if (word < end) {
      growth.places[shape.word_offset + word] = free;
      growth.places[growth.word_count + shape.word_offset + word] = just_pruned;
    }
    const uint32_t both = popcount(free) | static_cast<uint32_t>(popcount(just_pruned)) << 16;
    const uint32_t sum = __reduce_add_sync(kAllActive, both);
    if (lane == 0) found[stretch] = sum;
  }
  __syncthreads();
  if (warp == 0) {
    const uint32_t up_to = warp_prefix(found[lane]);
    if (lane < growth.stretches) {
      growth.stretch_first[chunk * growth.stretches + lane] = up_to - found[lane];
    }
    if (lane == kStretches - 1) {
      growth.chunk_first[chunk] = (up_to & 0xFFFFu) | static_cast<Sum>(up_to >> 16) << 32;
    }
  }
}

// By the last block that counted.
__device__ void prepare_draws(const Growth& growth) {
  const Sum places = block_scan<kThreads>(
      growth.chunk_count, [&](int64_t chunk) { return growth.chunk_first[chunk]; },
      [&](int64_t chunk, Sum before) { growth.chunk_first[chunk] = before; });
  if (threadIdx.x == 0) growth.chunk_first[growth.chunk_count] = places;
  __syncthreads();
  const Sum ranks = block_scan<kThreads>(
      growth.draws(),
      [&](int64_t draw) { return Sum(growth.number_of(draw / kKinds, draw % kKinds)); },
      [&](int64_t draw, Sum before) { growth.rank_first[draw] = static_cast<int64_t>(before); });
  if (threadIdx.x == 0) growth.rank_first[growth.draws()] = static_cast<int64_t>(ranks);
  for (int64_t layer = threadIdx.x; layer < growth.layers; layer += kThreads) {
    growth.grown[layer] = growth.number_of(layer, 0) + growth.number_of(layer, 1);
  }
  for (int64_t draw = threadIdx.x; draw < growth.draws(); draw += kThreads) {
    const int64_t layer = draw / kKinds;
    const int64_t kind = draw % kKinds;
    growth.bijections[draw] =
        make_bijection(growth.places_of(layer, kind), growth.stream_of(layer, kind));
  }
}

__device__ void place_ranks(const Growth& growth, int64_t first, int64_t step) {
  const int64_t ranks = growth.rank_first[growth.draws()];
  for (int64_t rank = first; rank < ranks; rank += step) {
    const int64_t draw =
        last_where(0, growth.draws(), [&](int64_t d) { return growth.rank_first[d] <= rank; });
    const Bijection bijection = growth.bijections[draw];
    const int64_t place = permute(rank - growth.rank_first[draw], bijection);
    activate(growth, draw / kKinds, draw % kKinds, place);
  }
}

__global__ void __launch_bounds__(kThreads) grow_random_kernel(const Growth growth, int* counters) {
  __shared__ int64_t ticket;
  if (threadIdx.x == 0) ticket = atomicAdd(&counters[kTickets], 1);
  __syncthreads();
  if (ticket < growth.chunk_count) {
    count_places(growth, ticket);
    if (!is_last_block(&counters[kCounted], growth.chunk_count)) return;
    prepare_draws(growth);
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) atomicExch(&counters[kReady], 1);
    return;
  }
  if (threadIdx.x == 0) {
    while (*static_cast<volatile int*>(&counters[kReady]) == 0) __nanosleep(100);
    __threadfence();
  }
  __syncthreads();
  const int64_t placing = gridDim.x - growth.chunk_count;
  place_ranks(growth, (ticket - growth.chunk_count) * kThreads + threadIdx.x, placing * kThreads);
  if (is_last_block(&counters[kPlaced], placing) && threadIdx.x == 0) {
    counters[kTickets] = 0;
    counters[kReady] = 0;
  }
}

}  // namespace

void grow_random(const Buffer& words, const Buffer& previous, const Buffer& table,
                 const Buffer& counts, int64_t seed, const Buffer& reallocation, int64_t purpose,
                 const Buffer& grown, const ChunkPlan& plan, const Buffer& counters,
                 const Buffer& place_scratch, const Buffer& draw_scratch, uintptr_t stream) {
  if (counts.size == 0) return;
  constexpr int64_t kStretchUnits = kPlaceWords * kWordBits;
  Growth growth = {};
  growth.words = words.as<uint32_t>();
  growth.previous = previous.as<uint32_t>();
  growth.table = table.as<int64_t>();
  growth.counts = counts.as<int64_t>();
  growth.reallocation = reallocation.as<int64_t>();
  growth.grown = grown.as<int64_t>();
  growth.seed = static_cast<uint64_t>(seed);
  growth.purpose = static_cast<uint32_t>(purpose);
  growth.layers = counts.size;
  growth.word_count = words.size;
  growth.chunks = as_chunks(plan);
  growth.chunk_count = std::get<0>(plan).size;
  growth.stretches = (growth.chunks.chunk_units + kStretchUnits - 1) / kStretchUnits;
  growth.places = place_scratch.as<uint32_t>();
  growth.stretch_first = growth.places + kKinds * words.size;
  growth.chunk_first = draw_scratch.as<Sum>();
  growth.rank_first = draw_scratch.as<int64_t>() + growth.chunk_count + 1;
  growth.bijections = reinterpret_cast<Bijection*>(growth.rank_first + growth.draws() + 1);
  require_chunk_units("grow_random_", growth.chunks, kStretches * kStretchUnits);
  // Half a chunk of units for each placing block: small nets need fewer of them.
  const int64_t placing = std::min(kPlacingBlocks, 2 * growth.chunk_count);
  launch("grow_random_", grow_random_kernel, growth.chunk_count + placing, kThreads, stream, growth,
         counters.as<int>());
}

}  // namespace dsr::cuda
