"""grow_largest_ in plain PyTorch: the definition."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dsr_kernels.layout import SparseLayout
from dsr_kernels.reference.kth_magnitude import select_units
from dsr_kernels.reference.units import count, layer_bits, layer_keys, write_bits_


def grow_largest_(
    words: Tensor,
    previous: Tensor,
    scores: Sequence[Tensor],
    table: Tensor,
    counts: Tensor,
    per_layer: bool,
) -> Tensor:
    layout = SparseLayout.from_table(table)
    keys = layer_keys(scores, layout)
    active, before = layer_bits(words, layout), layer_bits(previous, layout)
    free = [~now & ~old for now, old in zip(active, before, strict=True)]
    just_pruned = [~now & old for now, old in zip(active, before, strict=True)]
    first = select_units(keys, free, counts, table, largest=True, per_layer=per_layer)
    placed = count(first, table)
    rest = counts.clamp(min=0) - (placed if per_layer else placed.sum())
    second = select_units(keys, just_pruned, rest, table, largest=True, per_layer=per_layer)
    grown = [one | two for one, two in zip(first, second, strict=True)]
    write_bits_(words, layout, [now | new for now, new in zip(active, grown, strict=True)])
    return count(grown, table)
