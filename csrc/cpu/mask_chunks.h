// The tensors that an op masks, cut into chunks of rows that no two threads share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/bits.h"
#include "common/buffer.h"
#include "common/layout.h"
#include "cpu/team.h"

namespace dsr::cpu {

// Rows [begin, end) of one tensor. A row is a mask word where units are elements, a unit where
// they are contiguous, and otherwise one outer index. In place where source and target are one.
struct MaskChunk {
  const Buffer* source;
  const Buffer* target;
  LayerShape shape;
  const uint32_t* words;
  int64_t begin;
  int64_t end;
};

struct MaskWork {
  static constexpr int64_t kChunkElements = 1 << 15;

  std::vector<MaskChunk> chunks;
  int64_t elements = 0;

  // Throws if the dtype is unknown.
  void add(const Buffer& source, const Buffer& target, const LayerShape& shape,
           const uint32_t* words) {
    element_bytes(target.dtype);
    const bool by_word = shape.unit_size == 1;
    const int64_t rows = by_word ? words_for(shape.units()) : shape.outer;
    const int64_t row_elements = by_word ? kWordBits : shape.unit_size * shape.inner;
    const int64_t step = std::max<int64_t>(1, kChunkElements / row_elements);
    for (int64_t begin = 0; begin < rows; begin += step) {
      chunks.push_back({&source, &target, shape, words, begin, std::min(rows, begin + step)});
    }
    elements += target.size;
  }
};

// tensors[t], which belongs to layer layers[t], in place. Throws before anything is written.
inline MaskWork divide_tensors(const std::vector<Buffer>& tensors,
                               const std::vector<int64_t>& layers, const Buffer& words,
                               const Buffer& table) {
  MaskWork work;
  for (size_t t = 0; t < tensors.size(); ++t) {
    const LayerShape shape = read_layer(table.as<int64_t>(), layers[t]);
    work.add(tensors[t], tensors[t], shape, words.as<uint32_t>() + shape.word_offset);
  }
  return work;
}

template <typename Run>
void run_chunks(const MaskWork& work, int threads, Run run) {
  // Waking a second thread costs about as much as this many elements.
  constexpr int64_t kMinElementsPerThread = 1 << 16;
  const int team = team_size(work.elements, kMinElementsPerThread, threads);
  const int64_t count = static_cast<int64_t>(work.chunks.size());
#pragma omp parallel for schedule(static) num_threads(team) if (team > 1)
  for (int64_t c = 0; c < count; ++c) run(work.chunks[c]);
}

}  // namespace dsr::cpu
