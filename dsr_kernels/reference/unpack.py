"""unpack in plain PyTorch: the definition."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dsr_kernels.layout import LayerShape
from dsr_kernels.mask import unpack_bits


def unpack(values: Tensor, ranks: Tensor, words: Tensor, units: Sequence[int]) -> Tensor:
    shape = LayerShape(*units)
    bits = unpack_bits(words, shape.units)
    per_unit = values.new_zeros(shape.units, shape.unit_size)
    per_unit[bits] = values.view(-1, shape.unit_size)
    return (
        per_unit.view(shape.outer, shape.inner, shape.unit_size)
        .transpose(1, 2)
        .reshape(shape.elements)
    )
