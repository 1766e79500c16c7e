// The launches of a search for the k-th unit: see cuda/order_search.h.
//
// Moves: in each launch the strips with a candidate, and one bit a unit. Digits are counted in
// shared memory; where a warp's candidates all have the same, as zeros do, it counts them at once.

#include "cuda/order_search.h"

#include "cuda/last_block.h"
#include "cuda/launch.h"
#include "cuda/order_job.h"
#include "cuda/reduce.h"

namespace dsr::cuda {
namespace {

constexpr int kPasses = 3;

struct Digit {
  int shift;
  int bits;
};

__host__ __device__ constexpr Digit digit_of_pass(int pass) {
  return pass == 0 ? Digit{21, 11} : pass == 1 ? Digit{10, 11} : Digit{0, 10};
}

// Counts the digits of this lane's candidates, those with a bit. All lanes of a warp together.
__device__ void count_digits(const uint32_t (&digits)[kStrip], uint32_t bits, uint32_t* bins) {
  const uint32_t lanes = __ballot_sync(kAllLanes, bits != 0);
  if (lanes == 0) return;
  uint32_t common = 0;
#pragma unroll
  for (int j = 0; j < kStrip; ++j) common = bits >> j & 1u ? digits[j] : common;
  common = __shfl_sync(kAllLanes, common, __ffs(static_cast<int>(lanes)) - 1);
  bool same = true;
#pragma unroll
  for (int j = 0; j < kStrip; ++j) same = same && (!(bits >> j & 1u) || digits[j] == common);
  if (__all_sync(kAllLanes, same)) {
    const uint32_t count = __reduce_add_sync(kAllLanes, static_cast<uint32_t>(__popc(bits)));
    if (lane() == 0) atomicAdd(&bins[common], count);
    return;
  }
#pragma unroll
  for (int j = 0; j < kStrip; ++j) {
    if (bits >> j & 1u) atomicAdd(&bins[digits[j]], 1u);
  }
}

// The next digit of every candidate that has those in `found`.
template <typename Reader>
__device__ void count_chunk(const Reader& reader, const Span& span, const Candidates& candidates,
                            Digit digit, uint32_t found, uint32_t* bins) {
  // Orders in question are `range` at most above the lowest.
  const uint32_t range = ~0u >> (32 - digit.shift - digit.bits);
  const uint32_t lowest = found * range + found;
  const bool skip_nan = candidates.among == Among::kActiveNumbers;
  const auto wanted = [&](int64_t index) { return candidates.in_word(span, index); };
  visit_strips(reader, span, wanted,
               [&](int64_t first, uint32_t, uint32_t bits, const uint32_t (&magnitudes)[kStrip]) {
                 uint32_t orders[kStrip];
                 candidates.order(reader, span, first, magnitudes, orders);
                 uint32_t counted = 0;
                 uint32_t digits[kStrip];
#pragma unroll
                 for (int j = 0; j < kStrip; ++j) {
                   const uint32_t above = orders[j] - lowest;
                   const bool in_question = above <= range && !(skip_nan && orders[j] == kNanKey);
                   counted |= static_cast<uint32_t>(in_question) << j;
                   digits[j] = above >> digit.shift;
                 }
                 count_digits(digits, bits & counted, bins);
               });
}

// What kth_magnitude says of a group as soon as its candidates are counted.
__device__ void write_counts(const Job& job, int64_t group, int64_t candidates) {
  const CutOutputs& outputs = job.outputs;
  outputs.shortfall[group] = max(int64_t{0}, job.k[group] - candidates);
  outputs.select[2 * group] = job.candidates.largest ? kNanKey : 0;
  outputs.select[2 * group + 1] = 0;
}

__device__ void write_nonfinite(const Job& job, const Span& span) {
  const bool one = job.candidates.per_layer;
  const int64_t begin = one ? span.layer : 0;
  const int64_t end = one ? begin + 1 : job.layers;
  for (int64_t layer = begin + threadIdx.x; layer < end; layer += kStripThreads) {
    job.outputs.nonfinite[layer] = static_cast<int64_t>(__ldcg(&job.outputs.counts[layer]));
  }
}

// By a group's last block: goes on with the digit that holds the unit sought; clears the bins.
__device__ void choose_digit(const Job& job, const Span& span, int pass) {
  constexpr int kMine = kBins / kStripThreads;
  const int64_t group = job.candidates.group(span);
  Search& search = job.searches[group];
  uint32_t* bins = job.bins + group * kBins + threadIdx.x * kMine;
  uint32_t mine[kMine];
  int64_t sum = 0;
#pragma unroll
  for (int i = 0; i < kMine; ++i) {
    mine[i] = __ldcg(&bins[i]);
    bins[i] = 0;
    sum += mine[i];
  }
  int64_t wanted = pass == 0 ? job.k[group] : search.wanted;
  const uint32_t found = pass == 0 ? 0 : search.order;
  const Prefix prefix = prefix_of_block(sum);
  wanted = max(int64_t{0}, min(wanted, prefix.total));
  if (pass == 0 && threadIdx.x == 0) {
    if (wanted == 0) search = {};
    if (job.outputs.select != nullptr) write_counts(job, group, prefix.total);
  }
  if (pass == 0 && job.outputs.select != nullptr) write_nonfinite(job, span);
  if (wanted <= prefix.before || wanted > prefix.before + sum) return;
  wanted -= prefix.before;
  uint32_t digit = threadIdx.x * kMine;
  uint32_t equal = 0;
#pragma unroll
  for (int i = 0; i < kMine; ++i) {
    if (equal != 0) continue;
    if (wanted <= mine[i]) {
      equal = mine[i];
    } else {
      wanted -= mine[i];
      ++digit;
    }
  }
  // Where all equal ones are selected, any index behind the last does.
  const bool all = pass == kPasses - 1 && wanted == equal && job.outputs.select == nullptr;
  search = {all ? 0 : wanted, all ? INT64_MAX : 0, found << digit_of_pass(pass).bits | digit, 0};
}

__global__ void __launch_bounds__(kStripThreads, kStripBlocks)
    count_kernel(const __grid_constant__ LayerTensors tensors, const __grid_constant__ Job job,
                 int pass) {
  __shared__ uint32_t bins[kBins];
  const int64_t chunk = tensors.first_chunk + blockIdx.x;
  const Span span = read_span(tensors, job.chunks, job.table, chunk);
  const int64_t group = job.candidates.group(span);
  const Digit digit = digit_of_pass(pass);
  uint32_t found = 0;
  if (pass > 0) {
    if (job.searches[group].wanted == 0) return;
    found = job.searches[group].order;
  }
  for (int bin = threadIdx.x; bin < kBins; bin += kStripThreads) bins[bin] = 0;
  __syncthreads();
  with_magnitudes(span, [&](const auto& reader) {
    count_chunk(reader, span, job.candidates, digit, found, bins);
  });
  __syncthreads();
  for (int bin = threadIdx.x; bin < kBins; bin += kStripThreads) {
    if (bins[bin] != 0) atomicAdd(&job.bins[group * kBins + bin], bins[bin]);
  }
  if (pass == 0 && job.outputs.select != nullptr && threadIdx.x == 0) {
    const uint32_t infinite = bins[order_of_key(kInfKey, job.candidates.largest) >> digit.shift];
    const uint32_t nan = bins[kNanKey >> digit.shift];
    if (infinite + nan != 0) {
      atomicAdd(&job.outputs.counts[span.layer], static_cast<unsigned long long>(infinite + nan));
    }
  }
  if (is_last_block(&job.counters[group], job.group_chunks(span))) choose_digit(job, span, pass);
}

}  // namespace

void search_order(const char* op, const std::vector<Buffer>& tensors, const Buffer& table,
                  const Candidates& candidates, const Buffer& k, const SearchTables& tables,
                  const CutOutputs& outputs, uintptr_t stream) {
  const auto& [counters, searches, ties, plan] = tables;
  const Chunks chunks = as_chunks(plan);
  require_chunk_units(op, chunks, kMaxChunkUnits);
  const int64_t layers = static_cast<int64_t>(tensors.size());
  const Job job = {candidates,
                   chunks,
                   table.as<int64_t>(),
                   layers,
                   std::get<2>(plan).back(),
                   k.as<int64_t>(),
                   searches.as<Search>(),
                   reinterpret_cast<LayerData*>(searches.as<Search>() + k.size),
                   counters.as<uint32_t>(),
                   counters.as<int32_t>() + k.size * kBins,
                   ties.as<int32_t>(),
                   outputs};
  for (int pass = 0; pass < kPasses; ++pass) {
    for_each_stretch(tensors, plan, [&](const LayerTensors& stretch, int64_t blocks) {
      launch(op, count_kernel, blocks, kStripThreads, stream, stretch, job, pass);
    });
  }
  for_each_stretch(tensors, plan, [&](const LayerTensors& stretch, int64_t blocks) {
    find_ties(op, stretch, job, blocks, stream);
  });
}

}  // namespace dsr::cuda
