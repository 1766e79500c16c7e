"""prune_smallest_ in plain PyTorch: the definition."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dsr_kernels.layout import SparseLayout
from dsr_kernels.reference.kth_magnitude import select_units
from dsr_kernels.reference.prune_threshold import finish_pruning, spare_largest
from dsr_kernels.reference.units import NAN_KEY, layer_bits, layer_keys


def prune_smallest_(
    weights: Sequence[Tensor],
    words: Tensor,
    table: Tensor,
    k: Tensor,
    per_layer: bool,
    zero: bool,
    keep_one: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    layout = SparseLayout.from_table(table)
    keys = layer_keys(weights, layout)
    active = layer_bits(words, layout)
    prunable = [bits & (layer != NAN_KEY) for layer, bits in zip(keys, active, strict=True)]
    pruned = select_units(keys, prunable, k, table, largest=False, per_layer=per_layer)
    if keep_one:
        pruned = [spare_largest(*layer) for layer in zip(keys, active, pruned, strict=True)]
    return finish_pruning(weights, words, table, keys, active, pruned, zero)
