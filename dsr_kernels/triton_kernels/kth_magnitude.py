"""kth_magnitude in Triton: five launches of the search for the k-th unit; see search.py."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.triton_kernels.ranks import ACTIVE, INACTIVE
from dsr_kernels.triton_kernels.search import COUNTERS, Order, search
from dsr_kernels.triton_kernels.units import NAN_KEY


def kth_magnitude(
    tensors: Sequence[Tensor],
    words: Tensor,
    table: Tensor,
    k: Tensor,
    active: bool,
    largest: bool,
    per_layer: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    nonfinite = table.new_zeros(len(table))
    if not tensors:  # no program would run
        select = k.new_tensor([[NAN_KEY.value if largest else 0, 0]]).expand(len(k), 2)
        return select.contiguous(), k.clamp(min=0), nonfinite
    select, shortfall = table.new_empty(len(k), 2), table.new_empty(len(k))
    # Others may search with the same mask at the same time: zeros of its own.
    zeros = torch.zeros(len(k) * COUNTERS, dtype=torch.int32, device=words.device)
    order = Order(ACTIVE if active else INACTIVE, largest, per_layer)
    outputs = (select, shortfall, nonfinite)
    search("kth_magnitude", tensors, words, words, table, k, order, zeros, outputs)
    return outputs
