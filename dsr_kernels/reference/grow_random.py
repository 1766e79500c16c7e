"""grow_random_ in plain PyTorch: the definition."""

from __future__ import annotations

import torch
from torch import Tensor

from dsr_kernels.layout import SparseLayout
from dsr_kernels.reference.bijection import permute, round_keys
from dsr_kernels.reference.units import layer_bits, write_bits_

# Added to the purpose when a layer must grow where it has just pruned: other random numbers.
FALLBACK = 0x8000


def grow_random_(
    words: Tensor,
    previous: Tensor,
    table: Tensor,
    counts: Tensor,
    seed: int,
    reallocation: Tensor,
    purpose: int,
) -> Tensor:
    layout = SparseLayout.from_table(table)
    active, before = layer_bits(words, layout), layer_bits(previous, layout)
    grown = []
    for layer, wanted in enumerate(counts.tolist()):
        done = 0
        for kind, places in (
            (purpose, ~active[layer] & ~before[layer]),
            (purpose + FALLBACK, ~active[layer] & before[layer]),
        ):
            free = places.nonzero().squeeze(1)
            number = min(wanted - done, len(free))
            if number > 0:
                ranks = torch.arange(number, device=table.device)
                keys = round_keys(seed, kind, layer, reallocation)
                active[layer][free[permute(ranks, len(free), keys)]] = True
                done += number
        grown.append(done)
    write_bits_(words, layout, active)
    return torch.tensor(grown, dtype=torch.int64).to(table.device)
