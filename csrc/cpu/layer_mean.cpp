// layer_mean on the CPU: each layer's mean magnitude over its active units, in fixed point.
//
// Moves: every value once in, and once more where the scale was guessed wrong. The largest
// magnitude of all layers sets the scale and is known only at the end: each thread sums on the
// scale of the largest it has seen so far, and a second pass redoes the chunks that used another
// one. Sums of integers: any thread count gives the same result.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/fixed_point.h"
#include "cpu/key_bits.h"
#include "cpu/launchers.h"
#include "cpu/unit_keys.h"

namespace dsr::cpu {
namespace {

constexpr int kNoScale = 1 << 20;  // of magnitudes that are all zero

struct ChunkSum {
  int64_t sum = 0;
  int64_t active = 0;
  int scale = kNoScale;
};

int scale_for(uint32_t largest) { return largest == 0 ? kNoScale : scale_of(largest); }

// The keys of the active units, 0 for Inf and NaN, and the largest of them.
struct ActiveKeys {
  alignas(64) uint32_t keys[kGatherRoom];
  int count;
  uint32_t largest;
};

DSR_CLONES void gather_finite(const uint32_t* keys, const uint32_t* active, int words,
                              ActiveKeys& result) {
  result.count = gather_keys(keys, active, words, result.keys);
  int32_t largest = 0;
  for (int n = 0; n < result.count; ++n) {
    const uint32_t key = result.keys[n] < kInfKey ? result.keys[n] : 0;
    result.keys[n] = key;
    largest = std::max(largest, static_cast<int32_t>(key));
  }
  result.largest = static_cast<uint32_t>(largest);
}

// No key may exceed the one that set the scale.
DSR_CLONES int64_t fixed_sum(const uint32_t* keys, int count, int scale) {
  uint64_t sum = 0;
  for (int j = 0; j < count; ++j) sum += fixed_point(keys[j], scale);
  return static_cast<int64_t>(sum);
}

// Raises `largest` to the largest magnitude of the chunk, and sums on the scale of that.
ChunkSum sum_chunk(const Layer& layer, const Chunk& chunk, const uint32_t* words,
                   uint32_t& largest) {
  alignas(64) uint32_t keys[kBlockUnits] = {};
  ActiveKeys found;
  for (;;) {
    ChunkSum result;
    result.scale = scale_for(largest);
    for (int64_t begin = chunk.begin; begin < chunk.end; begin += kBlockWords) {
      const int count = static_cast<int>(std::min<int64_t>(kBlockWords, chunk.end - begin));
      const uint32_t* active = words + begin;
      if (std::all_of(active, active + count, [](uint32_t word) { return word == 0; })) continue;
      read_keys(layer, begin, count, active, keys);
      gather_finite(keys, active, count, found);
      result.active += found.count;
      largest = std::max(largest, found.largest);
      if (largest != 0 && scale_for(largest) == result.scale) {
        result.sum += fixed_sum(found.keys, found.count, result.scale);
      }
    }
    if (scale_for(largest) == result.scale) return result;
  }
}

}  // namespace

void layer_mean(const std::vector<Buffer>& tensors, const Buffer& words, const Buffer& table,
                const Buffer& mean, int threads) {
  const Work work = divide_work(tensors, table, threads);
  const int64_t chunks = work.chunk_count();
  std::vector<ChunkSum> sums(chunks);
  const auto sum = [&](int64_t c, uint32_t& largest) {
    const Layer& layer = work.layers[work.chunks[c].layer];
    const uint32_t* layer_words = words.as<uint32_t>() + layer.shape.word_offset;
    sums[c] = sum_chunk(layer, work.chunks[c], layer_words, largest);
  };
  uint32_t largest = 0;
#pragma omp parallel for schedule(dynamic) num_threads(work.team) if (work.team > 1) \
    reduction(max : largest)
  for (int64_t c = 0; c < chunks; ++c) sum(c, largest);

  const int scale = scale_for(largest);
#pragma omp parallel for schedule(dynamic) num_threads(work.team) if (work.team > 1)
  for (int64_t c = 0; c < chunks; ++c) {
    uint32_t known = largest;
    if (sums[c].scale != scale) sum(c, known);
  }

  std::vector<int64_t> active(work.layers.size(), 0);
  std::fill_n(mean.as<int64_t>(), mean.size, 0);
  for (int64_t c = 0; c < chunks; ++c) {
    mean.as<int64_t>()[work.chunks[c].layer] += sums[c].sum;
    active[work.chunks[c].layer] += sums[c].active;
  }
  for (int64_t i = 0; i < mean.size; ++i) {
    mean.as<int64_t>()[i] /= std::max<int64_t>(1, active[i]);
  }
}

}  // namespace dsr::cpu
