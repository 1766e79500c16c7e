"""prune_sign_flips_ in plain PyTorch: the definition."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dsr_kernels.checks import memory_order
from dsr_kernels.layout import SparseLayout
from dsr_kernels.reference.prune_threshold import finish_pruning
from dsr_kernels.reference.units import layer_bits, layer_keys, write_bits_


def prune_sign_flips_(
    weights: Sequence[Tensor],
    words: Tensor,
    positive: Tensor,
    negative: Tensor,
    table: Tensor,
    zero: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    layout = SparseLayout.from_table(table)
    active = layer_bits(words, layout)
    values = [memory_order(weight) for weight in weights]
    above = [bits & (value > 0) for bits, value in zip(active, values, strict=True)]
    below = [bits & (value < 0) for bits, value in zip(active, values, strict=True)]
    pruned = [
        (was_positive & falls) | (was_negative & rises)
        for was_positive, was_negative, rises, falls in zip(
            layer_bits(positive, layout), layer_bits(negative, layout), above, below, strict=True
        )
    ]
    write_bits_(positive, layout, [a & ~gone for a, gone in zip(above, pruned, strict=True)])
    write_bits_(negative, layout, [b & ~gone for b, gone in zip(below, pruned, strict=True)])
    keys = layer_keys(weights, layout)
    return finish_pruning(weights, words, table, keys, active, pruned, zero)
