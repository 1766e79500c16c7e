// The units of a chunk as the threads of a block read them: four a thread, 128 a warp, with their
// mask bits and their keys.
// cuda/elements.h and cuda/groups.h read them.
#pragma once

#include <cstdint>

#include "common/bits.h"
#include "common/layout.h"
#include "cuda/chunks.h"
#include "cuda/elements.h"
#include "cuda/groups.h"
#include "cuda/lanes.h"

namespace dsr::cuda {

// Units [begin, end) of one layer: what a block works on.
struct Span {
  LayerShape shape;
  int32_t layer;
  int64_t begin;
  int64_t end;
  void* data;
  DType dtype;
};

__device__ inline Span make_span(const Chunks& chunks, const int64_t* table, int64_t chunk,
                                 int32_t layer, void* data, DType dtype) {
  const LayerShape shape = read_layer(table, layer);
  const int64_t begin = chunks.begin(chunk, layer);
  return {shape, layer, begin, min(begin + chunks.chunk_units, shape.units()), data, dtype};
}

__device__ inline Span read_span(const LayerTensors& tensors, const Chunks& chunks,
                                 const int64_t* table, int64_t chunk) {
  const int32_t layer = chunks.layer_of[chunk];
  const int64_t at = layer - tensors.first_layer;
  return make_span(chunks, table, chunk, layer, tensors.data[at], tensors.dtype[at]);
}

template <typename Of, typename Run>
__device__ void run_on_elements(const Span& span, Run run) {
  using Stored = typename Of::Stored;
  Stored* data = static_cast<Stored*>(span.data);
  const bool aligned = reinterpret_cast<uintptr_t>(data) % (kStrip * sizeof(Stored)) == 0;
  if (aligned && (span.end - span.begin) % kStrip == 0) {
    run(Elements<Of, true>{data});
  } else {
    run(Elements<Of, false>{data});
  }
}

// Calls run(reader) with what reads the elements of a span as float32 bits; its units must be
// elements. One of the cases inside is taken, the same for all threads of the block.
template <typename Run>
__device__ void with_values(const Span& span, Run run) {
  if (span.dtype == DType::kFloat32) {
    run_on_elements<ValueOf<Float32>>(span, run);
  } else if (span.dtype == DType::kBFloat16) {
    run_on_elements<ValueOf<BFloat16>>(span, run);
  } else {
    run_on_elements<ValueOf<Float16>>(span, run);
  }
}

template <template <typename> class Of, typename Type, typename Run>
__device__ void run_on_units(const Span& span, Run run) {
  if (span.shape.unit_size == 1) {
    run_on_elements<Of<Type>>(span, run);
  } else {
    run(Groups<Type>{static_cast<typename Type::Stored*>(span.data), span.shape});
  }
}

template <template <typename> class Of, typename Run>
__device__ void run_on_type(const Span& span, Run run) {
  if (span.dtype == DType::kFloat32) {
    run_on_units<Of, Float32>(span, run);
  } else if (span.dtype == DType::kBFloat16) {
    run_on_units<Of, BFloat16>(span, run);
  } else {
    run_on_units<Of, Float16>(span, run);
  }
}

// Calls run(reader) with what reads the keys of a span's units.
template <typename Run>
__device__ void with_keys(const Span& span, Run run) {
  run_on_type<KeyOf>(span, run);
}

// The same with magnitudes, for kernels that need no one number for all NaNs.
template <typename Run>
__device__ void with_magnitudes(const Span& span, Run run) {
  run_on_type<MagnitudeOf>(span, run);
}

// Goes over a span, kStripThreads threads a block: visit(first, word, bits, values) for each 128
// units of a warp, `first` being the first of them and `values` those of this lane's units. `word`
// is what wanted(index) gave for this lane's mask word (`first` / 32 + lane / 8 of the layer, which
// must have bits for units only), and `bits` are this lane's bits of it. All lanes of a warp visit
// together; the values of units without a bit mean nothing.
template <typename Reader, typename Wanted, typename Visit>
__device__ void visit_strips(const Reader& reader, const Span& span, Wanted wanted, Visit visit) {
  constexpr int kBatch = Reader::kBatch;
  const int64_t warp = threadIdx.x / kLanes;
  for (int64_t at = span.begin + warp * kWarpUnits; at < span.end; at += kBatch * kBlockUnits) {
    uint32_t words[kBatch];
    typename Reader::Raw raw[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int64_t index = word_of_lane(at) + b * (kBlockUnits / kWordBits);
      words[b] = index < words_for(span.end) ? wanted(index) : 0;
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      raw[b] = reader.load(at + b * kBlockUnits, Reader::spread(words[b]));
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      uint32_t values[kStrip];
      Reader::unpack(raw[b], values);
      visit(at + b * kBlockUnits, words[b], Reader::spread(words[b]), values);
    }
  }
}

// Writes +0.0 to a unit, by one thread.
__device__ inline void zero_unit(const Span& span, int64_t unit) {
  if (bytes_of(span.dtype) == 4) {
    zero_group(static_cast<uint32_t*>(span.data), span.shape, unit);
  } else {
    zero_group(static_cast<uint16_t*>(span.data), span.shape, unit);
  }
}

// Stores the words that a warp's lanes hold as visit_strips() deals them out, one lane a word.
// `index` is word_of_lane(first).
__device__ inline void store_word(uint32_t* words, int64_t index, uint32_t word) {
  if (lane() % kWordLanes == 0) words[index] = word;
}

}  // namespace dsr::cuda
