// The launches of a search for the k-th unit: see cuda/order_search.h.
//
// Moves: in the first two launches the strips with a candidate, and one bit a unit. In the second
// also 4 bytes for each candidate with the first digit sought, out; in the third these, in. Where
// more than one unit in eight is such a candidate, the third moves what the first does.
//
// Digits are counted in shared memory; where a warp's candidates all have the same, as zeros do, it
// counts them at once.

#include "cuda/order_search.h"

#include "cuda/last_block.h"
#include "cuda/launch.h"
#include "cuda/order_digits.h"
#include "cuda/order_job.h"

namespace dsr::cuda {
namespace {

// The next digit of every candidate that has those in `digits_found`. The second pass also keeps
// these candidates in the warp's segment.
template <int kPass, typename Reader>
__device__ void count_chunk(const Reader& reader, const Span& span, const Candidates& candidates,
                            uint32_t digits_found, const Segment& segment, uint32_t* bins) {
  constexpr Digit kDigit = digit_of_pass(kPass);
  // Orders in question are `kRange` at most above the lowest.
  constexpr uint32_t kRange = ~0u >> (32 - kDigit.shift - kDigit.bits);
  const uint32_t lowest = digits_found * kRange + digits_found;
  const bool skip_nan = candidates.among == Among::kActiveNumbers;
  const auto wanted = [&](int64_t index) { return candidates.in_word(span, index); };
  int kept = 0;
  visit_strips(reader, span, wanted,
               [&](int64_t first, uint32_t, uint32_t bits, const uint32_t (&magnitudes)[kStrip]) {
                 uint32_t orders[kStrip];
                 candidates.order(reader, span, first, magnitudes, orders);
                 uint32_t counted = 0;
                 uint32_t digits[kStrip];
#pragma unroll
                 for (int j = 0; j < kStrip; ++j) {
                   const uint32_t above = orders[j] - lowest;
                   const bool in_question = above <= kRange && !(skip_nan && orders[j] == kNanKey);
                   counted |= static_cast<uint32_t>(in_question) << j;
                   digits[j] = above >> kDigit.shift;
                 }
                 counted &= bits;
                 if (!count_digits(digits, counted, bins)) return;
                 if constexpr (kPass == 1)
                   keep<Reader>(segment, kept, first - span.begin, counted, orders);
               });
  if (kPass == 1 && lane() == 0) *segment.found = kept;
}

// The third digit of the candidates in the warp's segment that have the second in `digits_found`.
__device__ void count_segment(const Segment& segment, uint32_t digits_found, uint32_t* bins) {
  constexpr Digit kDigit = digit_of_pass(2);
  const uint32_t sought = digits_found << kDigit.bits & kKeptMask;
  visit_entries(segment, [&](uint32_t bits, const uint32_t (&entries)[kStrip]) {
    uint32_t counted = 0;
    uint32_t digits[kStrip];
#pragma unroll
    for (int j = 0; j < kStrip; ++j) {
      digits[j] = (entries[j] & kKeptMask) - sought;
      counted |= static_cast<uint32_t>(digits[j] < 1u << kDigit.bits) << j;
    }
    counted &= bits;
    count_digits(digits, counted, bins);
  });
}

template <int kPass>
__global__ void __launch_bounds__(kStripThreads, kStripBlocks)
    count_kernel(const __grid_constant__ LayerTensors tensors, const __grid_constant__ Job job) {
  constexpr Digit kDigit = digit_of_pass(kPass);
  constexpr int kDigits = 1 << kDigit.bits;
  __shared__ uint32_t bins[kDigits];
  const int64_t chunk = tensors.first_chunk + blockIdx.x;
  const Span span = read_span(tensors, job.chunks, job.table, chunk);
  const int64_t group = job.candidates.group(span);
  uint32_t found = 0;
  if (kPass > 0) {
    if (job.searches[group].wanted == 0) return;
    found = job.searches[group].order;
  }
  for (int bin = threadIdx.x; bin < kDigits; bin += kStripThreads) bins[bin] = 0;
  __syncthreads();
  const Segment segment = job.segments.of_warp(chunk);
  if (kPass == 2 && segment.holds_all()) {
    count_segment(segment, found, bins);
  } else {
    with_magnitudes(span, [&](const auto& reader) {
      count_chunk<kPass>(reader, span, job.candidates, found, segment, bins);
    });
  }
  __syncthreads();
  for (int bin = threadIdx.x; bin < kDigits; bin += kStripThreads) {
    if (bins[bin] != 0) atomicAdd(&job.bins[group * kBins + bin], bins[bin]);
  }
  if (kPass == 0 && job.outputs.select != nullptr && threadIdx.x == 0) {
    const uint32_t infinite = bins[order_of_key(kInfKey, job.candidates.largest) >> kDigit.shift];
    const uint32_t nan = bins[kNanKey >> kDigit.shift];
    if (infinite + nan != 0) {
      atomicAdd(&job.outputs.counts[span.layer], static_cast<unsigned long long>(infinite + nan));
    }
  }
  if (is_last_block(&job.counters[group], job.group_chunks(span))) {
    choose_digit<kPass>(job, span);
  }
}

Job make_job(const char* op, const std::vector<Buffer>& tensors, const Buffer& table,
             const Candidates& candidates, const Buffer& k, const SearchTables& tables,
             const CutOutputs& outputs) {
  const auto& [counters, searches, scratch, plan] = tables;
  const Chunks chunks = as_chunks(plan);
  const int64_t layers = static_cast<int64_t>(tensors.size());
  const int64_t all_chunks = std::get<2>(plan).back();
  const int64_t warps = all_chunks * kWarps;
  const int64_t room = segment_entries(chunks.chunk_units);
  require_chunk_units(op, chunks, kMaxChunkUnits);
  require_size(op, "counters", counters, k.size * (kBins + 1));
  require_size(op, "searches", searches, k.size * kSearchValues + layers * kPlaceValues);
  require_size(op, "scratch", scratch, warps * (room + 1) + all_chunks);
  uint32_t* entries = scratch.as<uint32_t>();
  int32_t* found = scratch.as<int32_t>() + warps * room;
  return {candidates,
          chunks,
          table.as<int64_t>(),
          layers,
          all_chunks,
          k.as<int64_t>(),
          searches.as<Search>(),
          reinterpret_cast<LayerData*>(searches.as<Search>() + k.size),
          counters.as<uint32_t>(),
          counters.as<int32_t>() + k.size * kBins,
          found + warps,
          {entries, found, static_cast<int32_t>(room)},
          outputs};
}

}  // namespace

void search_order(const char* op, const std::vector<Buffer>& tensors, const Buffer& table,
                  const Candidates& candidates, const Buffer& k, const SearchTables& tables,
                  const CutOutputs& outputs, uintptr_t stream) {
  const Job job = make_job(op, tensors, table, candidates, k, tables, outputs);
  const auto on_all = [&](auto run) { for_each_stretch(tensors, std::get<3>(tables), run); };
  on_all([&](const LayerTensors& stretch, int64_t blocks) {
    launch(op, count_kernel<0>, blocks, kStripThreads, stream, stretch, job);
  });
  on_all([&](const LayerTensors& stretch, int64_t blocks) {
    launch(op, count_kernel<1>, blocks, kStripThreads, stream, stretch, job);
  });
  on_all([&](const LayerTensors& stretch, int64_t blocks) {
    launch(op, count_kernel<2>, blocks, kStripThreads, stream, stretch, job);
  });
  on_all([&](const LayerTensors& stretch, int64_t blocks) {
    find_ties(op, stretch, job, blocks, stream);
  });
}

}  // namespace dsr::cuda
