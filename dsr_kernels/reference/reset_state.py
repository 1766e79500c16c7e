"""reset_state_ in plain PyTorch: the definition."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dsr_kernels.layout import SparseLayout
from dsr_kernels.mask import layer_words, unpack_bits
from dsr_kernels.reference.units import zero_units_


def reset_state_(
    states: Sequence[Tensor], layers: Sequence[int], words: Tensor, previous: Tensor, table: Tensor
) -> None:
    layout = SparseLayout.from_table(table)
    for state, layer in zip(states, layers, strict=True):
        shape = layout.layers[layer]
        changed = layer_words(words, layout, layer) ^ layer_words(previous, layout, layer)
        zero_units_(state, shape, unpack_bits(changed, shape.units))
