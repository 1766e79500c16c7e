"""kth_magnitude in plain PyTorch: the definition, by a stable sort of integer keys."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.layout import SparseLayout
from dsr_kernels.reference.units import (
    NAN_KEY,
    count_nonfinite,
    join,
    layer_bits,
    layer_keys,
)


def kth_magnitude(
    tensors: Sequence[Tensor],
    words: Tensor,
    table: Tensor,
    k: Tensor,
    active: bool,
    largest: bool,
    per_layer: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    layout = SparseLayout.from_table(table)
    keys = layer_keys(tensors, layout)
    candidates = [bits if active else ~bits for bits in layer_bits(words, layout)]
    nonfinite = count_nonfinite(keys, candidates, table)
    select, shortfall = [], []
    for group_keys, among, wanted in _groups(keys, candidates, k, table, per_layer):
        select.append(search(group_keys, among, wanted, largest))
        shortfall.append(max(0, wanted - int(among.sum())))
    rows = torch.tensor(select, dtype=torch.int64).view(len(select), 2)
    return (
        rows.to(table.device),
        torch.tensor(shortfall, dtype=torch.int64).to(table.device),
        nonfinite,
    )


def search(keys: Tensor, candidates: Tensor, k: int, largest: bool) -> tuple[int, int]:
    """(key of the k-th candidate, its index + 1), by key and among equal keys by index."""
    index = candidates.nonzero().squeeze(1)
    k = min(k, len(index))
    if k <= 0:
        return (NAN_KEY, 0) if largest else (0, 0)
    ordered = _nan_last(keys, largest)[index].int()
    order = torch.sort(-ordered if largest else ordered, stable=True).indices
    last = order[k - 1]
    return int(ordered[last]), int(index[last]) + 1


def selected(keys: Tensor, candidates: Tensor, select: tuple[int, int], largest: bool) -> Tensor:
    """The candidates that a row of ``select`` chooses: bool, as many as it was searched for."""
    key, tie = select
    keys = _nan_last(keys, largest)
    beyond = keys > key if largest else keys < key
    index = torch.arange(len(keys), device=keys.device)
    return candidates & (beyond | ((keys == key) & (index < tie)))


def select_units(
    keys: Sequence[Tensor],
    candidates: Sequence[Tensor],
    k: Tensor,
    table: Tensor,
    largest: bool,
    per_layer: bool,
) -> list[Tensor]:
    """The k smallest or largest candidates of each layer, or of all layers: a bool a unit."""
    chosen = [
        selected(group_keys, among, search(group_keys, among, wanted, largest), largest)
        for group_keys, among, wanted in _groups(keys, candidates, k, table, per_layer)
    ]
    return chosen if per_layer else list(chosen[0].split([len(layer) for layer in keys]))


def _groups(
    keys: Sequence[Tensor], candidates: Sequence[Tensor], k: Tensor, table: Tensor, per_layer: bool
) -> list[tuple[Tensor, Tensor, int]]:
    if per_layer:
        return list(zip(keys, candidates, k.tolist(), strict=True))
    joined = join(keys, table, torch.int64), join(candidates, table, torch.bool)
    return [(*joined, int(k))]


def _nan_last(keys: Tensor, largest: bool) -> Tensor:
    """A NaN has the largest key already; among the largest it comes last as -1."""
    return keys.where(keys != NAN_KEY, -1) if largest else keys
