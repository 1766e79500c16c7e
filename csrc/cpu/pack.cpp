// pack on the CPU: the elements of active units, side by side, unit after unit.
//
// Moves: one bit a unit in, twice; each active element in and out; 8 bytes a 1,024 units out.

#include "cpu/launchers.h"
#include "cpu/packed_blocks.h"

namespace dsr::cpu {
namespace {

void count_ranks(const PackedLayer& layer, int64_t* ranks, int team) {
  const int64_t blocks = layer.blocks();
#pragma omp parallel for schedule(static) num_threads(team) if (team > 1)
  for (int64_t b = 0; b < blocks; ++b) ranks[b] = block_population(layer, b);
  int64_t before = 0;
  for (int64_t b = 0; b <= blocks; ++b) {
    const int64_t here = b < blocks ? ranks[b] : 0;
    ranks[b] = before;
    before += here;
  }
}

template <typename T>
void pack_layer(const PackedLayer& layer, const T* data, T* values, int team) {
  const int64_t blocks = layer.blocks();
#pragma omp parallel for schedule(static) num_threads(team) if (team > 1)
  for (int64_t b = 0; b < blocks; ++b) {
    for_each_active(layer, b, [&](int64_t unit, int64_t rank) {
      const T* from = data + layer.first_element(unit);
      T* to = values + rank * layer.unit_size;
      for (int64_t u = 0; u < layer.unit_size; ++u) to[u] = from[u * layer.inner];
    });
  }
}

}  // namespace

void pack(const Buffer& tensor, const Buffer& words, const std::vector<int64_t>& units,
          int64_t active, const Buffer& values, const Buffer& ranks, int threads) {
  const PackedLayer layer(units, words, ranks);
  const int team = layer.team(threads);
  count_ranks(layer, ranks.as<int64_t>(), team);
  require_active(active, layer.ranks[layer.blocks()]);
  require_values(values.size, active, layer.unit_size);
  switch (element_bytes(tensor.dtype)) {
    case 2:
      return pack_layer(layer, tensor.as<const uint16_t>(), values.as<uint16_t>(), team);
    case 4:
      return pack_layer(layer, tensor.as<const uint32_t>(), values.as<uint32_t>(), team);
    default:
      return pack_layer(layer, tensor.as<const uint64_t>(), values.as<uint64_t>(), team);
  }
}

}  // namespace dsr::cpu
