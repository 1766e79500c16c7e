// add_noise_ on a GPU: a normal random number times the layer's scale to every active element, all
// tensors in one launch.
//
// Moves: one bit a unit in, and each four elements with an active one once in and once out. A
// thread takes four elements at a time, which share the words that Philox draws at one index. Each
// element belongs to one thread and its noise depends on its number alone, so the result does not
// depend on the order of the blocks.

#include "common/bits.h"
#include "common/layout.h"
#include "common/normal.h"
#include "common/philox.h"
#include "common/rounding.h"
#include "common/select.h"
#include "cuda/launch.h"
#include "cuda/launchers.h"
#include "cuda/tensor_batch.h"

namespace dsr::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kGroup = 4;  // elements that share one Philox counter
constexpr int kGroupsPerThread = 4;
constexpr int64_t kStep = kThreads * kGroup;
constexpr int64_t kBlockElements = kStep * kGroupsPerThread;

template <typename Stored>
struct alignas(kGroup * sizeof(Stored)) Group {
  Stored element[kGroup];
};

// A bit for each of four elements from `first` on, 0 from `end` on.
__device__ uint32_t active_bits(const LayerShape& shape, const uint32_t* words, int64_t first,
                                int64_t end) {
  if (first >= end) return 0;
  const int count = static_cast<int>(min(int64_t{kGroup}, end - first));
  if (shape.unit_size == 1)
    return words[first / kWordBits] >> (first % kWordBits) & low_bits(count);
  uint32_t bits = 0;
  for (int j = 0; j < count; ++j) {
    bits |= static_cast<uint32_t>(is_active(words, unit_of(first + j, shape))) << j;
  }
  return bits;
}

template <typename Type>
__device__ typename Type::Stored with_noise(typename Type::Stored stored, float noise) {
  const float sum = value_of<Type>(stored) + noise;
  return sum == sum ? rounded_to(Type{}, sum) : stored;
}

template <typename Type>
__device__ void add_group(typename Type::Stored* data, int64_t first, uint32_t bits, bool whole,
                          float scale, const RandomStream& stream) {
  const PhiloxWords drawn = random_words(first / kGroup, stream);
  if (whole) {
    auto* at = reinterpret_cast<Group<typename Type::Stored>*>(data + first);
    Group<typename Type::Stored> group = *at;
#pragma unroll
    for (int j = 0; j < kGroup; ++j) {
      const auto changed =
          with_noise<Type>(group.element[j], scale * standard_normal(drawn.word[j]));
      if ((bits >> j) & 1u) group.element[j] = changed;
    }
    *at = group;
    return;
  }
#pragma unroll
  for (int j = 0; j < kGroup; ++j) {
    if (!((bits >> j) & 1u)) continue;
    data[first + j] = with_noise<Type>(data[first + j], scale * standard_normal(drawn.word[j]));
  }
}

template <typename Type>
__device__ void add_block(const TensorEntry& entry, const LayerShape& shape, const uint32_t* words,
                          int64_t start, float scale, const RandomStream& stream) {
  auto* data = static_cast<typename Type::Stored*>(entry.data);
  const bool aligned =
      reinterpret_cast<uintptr_t>(data) % alignof(Group<typename Type::Stored>) == 0;
  const int64_t mine = start + static_cast<int64_t>(threadIdx.x) * kGroup;
  uint32_t bits[kGroupsPerThread];  // all loads of the mask before any use
#pragma unroll
  for (int i = 0; i < kGroupsPerThread; ++i) {
    bits[i] = active_bits(shape, words, mine + i * kStep, entry.elements);
  }
#pragma unroll
  for (int i = 0; i < kGroupsPerThread; ++i) {
    const int64_t first = mine + i * kStep;
    const bool whole = aligned && first + kGroup <= entry.elements;
    if (bits[i] != 0) add_group<Type>(data, first, bits[i], whole, scale, stream);
  }
}

// What the layers and the step add to is known on the device only.
struct Noise {
  const float* scale;      // [layers]
  const int64_t* counter;  // [1]
  uint64_t seed;
  uint32_t purpose;
};

__global__ void __launch_bounds__(kThreads)
    add_noise_kernel(const __grid_constant__ TensorBatch batch, const Noise noise,
                     const uint32_t* words, const int64_t* table) {
  const int64_t block = blockIdx.x;
  const TensorEntry& entry = find_entry(batch, block);
  const LayerShape shape = read_layer(table, entry.layer);
  const RandomStream stream = {noise.seed, noise.purpose, static_cast<uint32_t>(entry.layer),
                               static_cast<uint32_t>(*noise.counter)};
  const uint32_t* layer_words = words + shape.word_offset;
  const int64_t start = (block - entry.first_block) * kBlockElements;
  const float scale = noise.scale[entry.layer];
  if (entry.dtype == DType::kFloat32) {
    add_block<Float32>(entry, shape, layer_words, start, scale, stream);
  } else if (entry.dtype == DType::kBFloat16) {
    add_block<BFloat16>(entry, shape, layer_words, start, scale, stream);
  } else {
    add_block<Float16>(entry, shape, layer_words, start, scale, stream);
  }
}

}  // namespace

void add_noise(const std::vector<Buffer>& tensors, const std::vector<int64_t>& layers,
               const Buffer& words, const Buffer& table, const Buffer& scale, int64_t seed,
               const Buffer& counter, int64_t purpose, uintptr_t stream) {
  const Noise noise = {scale.as<float>(), counter.as<int64_t>(), static_cast<uint64_t>(seed),
                       static_cast<uint32_t>(purpose)};
  for_each_batch(tensors, layers, kBlockElements, [&](const TensorBatch& batch, int64_t blocks) {
    launch("add_noise_", add_noise_kernel, blocks, kThreads, stream, batch, noise,
           words.as<uint32_t>(), table.as<int64_t>());
  });
}

}  // namespace dsr::cuda
