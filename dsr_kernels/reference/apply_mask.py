"""apply_mask_ in plain PyTorch: the definition."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dsr_kernels.checks import memory_order
from dsr_kernels.layout import SparseLayout
from dsr_kernels.mask import expand_units, layer_words, unpack_bits


def apply_mask_(
    tensors: Sequence[Tensor], layers: Sequence[int], words: Tensor, table: Tensor
) -> None:
    layout = SparseLayout.from_table(table)
    for tensor, layer in zip(tensors, layers, strict=True):
        shape = layout.layers[layer]
        active = unpack_bits(layer_words(words, layout, layer), shape.units)
        memory_order(tensor).masked_fill_(~expand_units(active, shape), 0.0)
