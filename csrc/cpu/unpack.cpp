// unpack on the CPU: packed values back to their places, +0.0 everywhere else.
//
// Moves: one bit a unit in, twice; each value in; each element of the dense tensor out.

#include "cpu/launchers.h"
#include "cpu/packed_blocks.h"

namespace dsr::cpu {
namespace {

template <typename T>
void clear_block(const PackedLayer& layer, int64_t block, T* data) {
  const int64_t begin = block * kBlockBits;
  const int64_t end = std::min(begin + kBlockBits, layer.units);
  if (layer.inner == 1) {
    std::fill(data + begin * layer.unit_size, data + end * layer.unit_size, T{0});
    return;
  }
  for (int64_t unit = begin; unit < end; ++unit) {
    T* to = data + layer.first_element(unit);
    for (int64_t u = 0; u < layer.unit_size; ++u) to[u * layer.inner] = T{0};
  }
}

template <typename T>
void unpack_layer(const PackedLayer& layer, const T* values, T* data, int team) {
  const int64_t blocks = layer.blocks();
#pragma omp parallel for schedule(static) num_threads(team) if (team > 1)
  for (int64_t b = 0; b < blocks; ++b) {
    clear_block(layer, b, data);
    for_each_active(layer, b, [&](int64_t unit, int64_t rank) {
      const T* from = values + rank * layer.unit_size;
      T* to = data + layer.first_element(unit);
      for (int64_t u = 0; u < layer.unit_size; ++u) to[u * layer.inner] = from[u];
    });
  }
}

}  // namespace

void unpack(const Buffer& values, const Buffer& ranks, const Buffer& words,
            const std::vector<int64_t>& units, const Buffer& tensor, int threads) {
  const PackedLayer layer(units, words, ranks);
  const int team = layer.team(threads);
  require_ranks(layer, team);
  require_values(values.size, layer.ranks[layer.blocks()], layer.unit_size);
  switch (element_bytes(values.dtype)) {
    case 2:
      return unpack_layer(layer, values.as<const uint16_t>(), tensor.as<uint16_t>(), team);
    case 4:
      return unpack_layer(layer, values.as<const uint32_t>(), tensor.as<uint32_t>(), team);
    default:
      return unpack_layer(layer, values.as<const uint64_t>(), tensor.as<uint64_t>(), team);
  }
}

}  // namespace dsr::cpu
