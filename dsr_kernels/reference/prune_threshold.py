"""prune_threshold_ in plain PyTorch: the definition."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.layout import LayerShape, SparseLayout
from dsr_kernels.reference.units import (
    count,
    count_nonfinite,
    layer_bits,
    layer_keys,
    unit_keys,
    write_bits_,
    zero_units_,
)


def prune_threshold_(
    weights: Sequence[Tensor], words: Tensor, table: Tensor, threshold: Tensor, zero: bool
) -> tuple[Tensor, Tensor, Tensor]:
    layout = SparseLayout.from_table(table)
    limit = unit_keys(threshold, LayerShape(1))
    keys = layer_keys(weights, layout)
    active = layer_bits(words, layout)
    pruned = [
        spare_largest(layer, bits, bits & (layer < limit))
        for layer, bits in zip(keys, active, strict=True)
    ]
    return finish_pruning(weights, words, table, keys, active, pruned, zero)


def spare_largest(keys: Tensor, active: Tensor, pruned: Tensor) -> Tensor:
    """``pruned`` without the unit of largest key, if it would empty the layer.

    Ties go to the lowest index.
    """
    if not active.any() or (active & ~pruned).any():
        return pruned
    largest = keys.where(active, -1).max()
    first = (active & (keys == largest)).int().cumsum(0).eq(0).sum()
    spared = torch.arange(len(keys), device=keys.device) == first
    return pruned & ~spared


def finish_pruning(
    weights: Sequence[Tensor],
    words: Tensor,
    table: Tensor,
    keys: Sequence[Tensor],
    active: Sequence[Tensor],
    pruned: Sequence[Tensor],
    zero: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Clear the bits of ``pruned``, and their weights if ``zero``; count."""
    layout = SparseLayout.from_table(table)
    surviving = [bits & ~gone for bits, gone in zip(active, pruned, strict=True)]
    write_bits_(words, layout, surviving)
    if zero:
        for weight, shape, gone in zip(weights, layout.layers, pruned, strict=True):
            zero_units_(weight, shape, gone)
    return count(pruned, table), count(surviving, table), count_nonfinite(keys, active, table)
