"""What the reference ops share: the keys of a layer's units, and writing bits and zeros back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.checks import memory_order
from dsr_kernels.layout import LayerShape, SparseLayout
from dsr_kernels.mask import expand_units, layer_words, pack_bits, unpack_bits

NAN_KEY = 0x7FFFFFFF
INF_KEY = 0x7F800000
PARTIAL_SUMS = 32


def unit_keys(tensor: Tensor, shape: LayerShape) -> Tensor:
    """The key of each unit: int64 [units], ordered as the magnitudes are, every NaN the largest.

    A float32 that is not negative orders as its bits do, so no float comparison decides anything.
    """
    magnitude = memory_order(tensor).detach().to(torch.float32).abs()
    if shape.unit_size > 1:
        magnitude = _mean(magnitude.view(shape.outer, shape.unit_size, shape.inner))
    keys = magnitude.reshape(-1).view(torch.int32).long()
    return keys.masked_fill_(keys > INF_KEY, NAN_KEY)


def _mean(magnitude: Tensor) -> Tensor:
    """Mean over dim 1 of [outer, unit_size, inner], every addition rounded in a fixed order."""
    outer, unit_size, inner = magnitude.shape
    padding = -unit_size % PARTIAL_SUMS
    padded = torch.nn.functional.pad(magnitude, (0, 0, 0, padding))
    rows = padded.view(outer, (unit_size + padding) // PARTIAL_SUMS, PARTIAL_SUMS, inner)
    sums = rows[:, 0]
    for row in range(1, rows.shape[1]):
        sums = sums + rows[:, row]
    half = PARTIAL_SUMS // 2
    while half:
        sums = sums[:, :half] + sums[:, half : 2 * half]
        half //= 2
    reciprocal = torch.tensor(1.0 / unit_size, dtype=torch.float32, device=magnitude.device)
    return sums * reciprocal


def layer_keys(tensors: Sequence[Tensor], layout: SparseLayout) -> list[Tensor]:
    return [unit_keys(tensor, shape) for tensor, shape in zip(tensors, layout.layers, strict=True)]


def layer_bits(words: Tensor, layout: SparseLayout) -> list[Tensor]:
    """The bits of each layer, a bool tensor of shape [units]."""
    return [
        unpack_bits(layer_words(words, layout, i), shape.units)
        for i, shape in enumerate(layout.layers)
    ]


def write_bits_(words: Tensor, layout: SparseLayout, bits: Sequence[Tensor]) -> None:
    """Pack the bits of every layer back into ``words``."""
    for i, shape in enumerate(layout.layers):
        layer_words(words, layout, i).copy_(pack_bits(bits[i], shape))


def zero_units_(tensor: Tensor, shape: LayerShape, units: Tensor) -> None:
    """+0.0 at every element of the chosen ``units`` (bool [units])."""
    memory_order(tensor).masked_fill_(expand_units(units, shape), 0.0)


def count(bits: Sequence[Tensor], table: Tensor) -> Tensor:
    """Set bits of each layer: int64 [layers] on the table's device."""
    return per_layer([layer.sum() for layer in bits], table)


def count_nonfinite(keys: Sequence[Tensor], among: Sequence[Tensor], table: Tensor) -> Tensor:
    """Units in ``among`` whose magnitude is Inf or NaN: int64 [layers]."""
    return per_layer(
        [((k >= INF_KEY) & bits).sum() for k, bits in zip(keys, among, strict=True)], table
    )


def per_layer(values: Sequence[Tensor], table: Tensor) -> Tensor:
    return torch.stack(list(values)) if values else table.new_zeros(0)


def join(parts: Sequence[Tensor], table: Tensor, dtype: torch.dtype) -> Tensor:
    """All layers' units behind each other: the position is the global unit number."""
    return torch.cat(list(parts)) if parts else table.new_zeros(0, dtype=dtype)
