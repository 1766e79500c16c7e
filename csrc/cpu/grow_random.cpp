// grow_random_ on the CPU: the first ranks of a keyed bijection over a layer's places, activated.
//
// 1. Count the places of each chunk of mask words; their running sum numbers the places.
// 2. Send ranks 0 .. k-1 through the bijection and set a bit for each drawn place in a scratch
//    bitmap, whose bit p is place p.
// 3. Read bitmap and mask side by side: a word with n places takes the next n bits.
//
// Moves: two bits a unit in, twice, and one bit a place out and in; for each unit grown 8 bytes in
// order and one bit at random. No sort. The set of drawn places depends neither on the order of
// the ranks nor on the chunks: any thread count gives the same mask.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "common/bijection.h"
#include "common/layout.h"
#include "cpu/draw_places.h"
#include "cpu/launchers.h"
#include "cpu/places.h"
#include "cpu/team.h"

namespace dsr::cpu {
namespace {

constexpr int64_t kRanksPerTask = 1 << 12;
// Waking a second thread costs about as much as this many mask words, or this many ranks.
constexpr int64_t kMinWordsPerThread = 1 << 12;
constexpr int64_t kMinRanksPerThread = 1 << 11;
// Added to the purpose when a layer must grow where it has just pruned: other random numbers.
constexpr uint32_t kFallback = 0x8000;

struct Draw {
  int64_t layer;
  int64_t units;
  uint32_t* words;
  const uint32_t* previous;
  int64_t wanted;
  int64_t places = 0;
  int64_t number = 0;  // drawn: the smaller of the two
  // Bit p: place p is drawn. Null where all or none are.
  std::unique_ptr<uint32_t[]> chosen = nullptr;
};

// Words [begin, end) of one draw's layer, and how many places lie before them.
struct Chunk {
  Draw* draw;
  int64_t begin;
  int64_t end;
  int64_t first_place;
};

std::vector<Chunk> split_into_chunks(std::vector<Draw>& draws) {
  std::vector<Chunk> chunks;
  for (Draw& draw : draws) {
    const int64_t words = words_for(draw.units);
    for (int64_t begin = 0; begin < words; begin += kChunkWords) {
      chunks.push_back({&draw, begin, std::min(words, begin + kChunkWords), 0});
    }
  }
  return chunks;
}

void number_places(std::vector<Chunk>& chunks, Places kind, int team) {
  const int64_t count = static_cast<int64_t>(chunks.size());
#pragma omp parallel for schedule(static) num_threads(team) if (team > 1)
  for (int64_t c = 0; c < count; ++c) {
    Chunk& chunk = chunks[c];
    const Draw& draw = *chunk.draw;
    const LayerPlaces places = {draw.words, draw.previous, draw.units, kind};
    chunk.first_place = count_places(places, chunk.begin, chunk.end);
  }
  for (Chunk& chunk : chunks) {
    const int64_t before = chunk.draw->places;
    chunk.draw->places += chunk.first_place;
    chunk.first_place = before;
  }
}

// The drawn places of one layer, as a list.
struct Sample {
  Draw* draw;
  Bijection bijection;
  std::unique_ptr<uint32_t[]> places;
};

// bits_from reads two words, the last time at the end.
int64_t bitmap_words(const Draw& draw) { return words_for(draw.places) + 2; }

void mark_chosen(const Sample& sample) {
  Draw& draw = *sample.draw;
  std::fill_n(draw.chosen.get(), bitmap_words(draw), 0u);
  for (int64_t i = 0; i < draw.number; ++i) {
    const uint32_t place = sample.places[i];
    draw.chosen[place / kWordBits] |= 1u << (place % kWordBits);
  }
}

// Fills draw.chosen where only some of the places are drawn.
void draw_ranks(std::vector<Draw>& draws, RandomStream stream, int threads) {
  struct Task {
    int64_t sample;
    int64_t begin;
  };
  std::vector<Sample> samples;
  std::vector<Task> tasks;
  int64_t ranks = 0;
  for (Draw& draw : draws) {
    draw.number = std::min(draw.wanted, draw.places);
    if (draw.number == draw.places) continue;
    for (int64_t begin = 0; begin < draw.number; begin += kRanksPerTask) {
      tasks.push_back({static_cast<int64_t>(samples.size()), begin});
    }
    stream.layer = static_cast<uint32_t>(draw.layer);
    draw.chosen.reset(new uint32_t[bitmap_words(draw)]);
    samples.push_back({&draw, make_bijection(draw.places, stream),
                       std::unique_ptr<uint32_t[]>(new uint32_t[draw.number])});
    ranks += draw.number;
  }
  const int64_t task_count = static_cast<int64_t>(tasks.size());
  const int64_t sample_count = static_cast<int64_t>(samples.size());
  const int team = team_size(ranks, kMinRanksPerThread, threads);
#pragma omp parallel num_threads(team) if (team > 1)
  {
#pragma omp for schedule(dynamic)
    for (int64_t t = 0; t < task_count; ++t) {
      const Sample& sample = samples[tasks[t].sample];
      const int64_t begin = tasks[t].begin;
      const int64_t end = std::min(sample.draw->number, begin + kRanksPerTask);
      draw_places(sample.bijection, begin, end, sample.places.get() + begin);
    }
    // One thread a layer: two that share a bitmap would pass its cache lines to and fro.
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < sample_count; ++i) mark_chosen(samples[i]);
  }
}

void grow_among(std::vector<Draw>& draws, Places kind, const RandomStream& stream, int threads) {
  std::vector<Chunk> chunks = split_into_chunks(draws);
  const int64_t count = static_cast<int64_t>(chunks.size());
  const int team = team_size(count * kChunkWords, kMinWordsPerThread, threads);
  number_places(chunks, kind, team);
  draw_ranks(draws, stream, threads);
#pragma omp parallel for schedule(static) num_threads(team) if (team > 1)
  for (int64_t c = 0; c < count; ++c) {
    const Chunk& chunk = chunks[c];
    const Draw& draw = *chunk.draw;
    const LayerPlaces places = {draw.words, draw.previous, draw.units, kind};
    if (draw.chosen == nullptr) {
      activate_all(places, chunk.begin, chunk.end);
    } else {
      activate_chosen(places, chunk.begin, chunk.end, draw.chosen.get(), chunk.first_place);
    }
  }
}

}  // namespace

void grow_random(const Buffer& words, const Buffer& previous, const Buffer& table,
                 const Buffer& counts, int64_t seed, const Buffer& reallocation, int64_t purpose,
                 const Buffer& grown, int threads) {
  const int64_t layers = counts.size;
  std::vector<Draw> draws;
  for (int64_t layer = 0; layer < layers; ++layer) {
    grown.as<int64_t>()[layer] = 0;
    const LayerShape shape = read_layer(table.as<int64_t>(), layer);
    const int64_t wanted = counts.as<int64_t>()[layer];
    if (wanted <= 0 || shape.units() == 0) continue;
    draws.push_back({layer, shape.units(), words.as<uint32_t>() + shape.word_offset,
                     previous.as<uint32_t>() + shape.word_offset, wanted});
  }
  RandomStream stream = {};
  stream.seed = static_cast<uint64_t>(seed);
  stream.reallocation = static_cast<uint32_t>(reallocation.as<int64_t>()[0]);
  stream.purpose = static_cast<uint32_t>(purpose);
  for (const Places kind : {Places::kFree, Places::kJustPruned}) {
    grow_among(draws, kind, stream, threads);
    std::vector<Draw> unfinished;
    for (const Draw& draw : draws) {
      grown.as<int64_t>()[draw.layer] += draw.number;
      const int64_t left = draw.wanted - draw.number;
      if (left > 0) {
        unfinished.push_back({draw.layer, draw.units, draw.words, draw.previous, left});
      }
    }
    draws.swap(unfinished);
    stream.purpose += kFallback;
  }
}

}  // namespace dsr::cpu
