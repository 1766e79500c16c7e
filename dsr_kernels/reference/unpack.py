"""unpack in plain PyTorch: the definition."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.layout import LayerShape
from dsr_kernels.mask import unpack_bits
from dsr_kernels.reference.pack import block_ranks


def unpack(values: Tensor, ranks: Tensor, words: Tensor, units: Sequence[int]) -> Tensor:
    shape = LayerShape(*units)
    bits = unpack_bits(words, shape.units)
    if not torch.equal(ranks, block_ranks(bits)):
        raise ValueError(
            "ranks: expected how many units of the mask are active before each block of "
            "1,024, got other numbers; pack again after the mask has changed"
        )
    needed = int(ranks[-1]) * shape.unit_size
    if values.numel() != needed:
        raise ValueError(
            f"values: expected {needed} of them for the active units of the mask, got "
            f"{values.numel()}"
        )
    per_unit = values.new_zeros(shape.units, shape.unit_size)
    per_unit[bits] = values.view(-1, shape.unit_size)
    return (
        per_unit.view(shape.outer, shape.inner, shape.unit_size)
        .transpose(1, 2)
        .reshape(shape.elements)
    )
