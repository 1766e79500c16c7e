"""add_noise_ in plain PyTorch: the definition."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.checks import memory_order
from dsr_kernels.layout import SparseLayout
from dsr_kernels.mask import expand_units, layer_words, unpack_bits
from dsr_kernels.reference.normal import standard_normal
from dsr_kernels.reference.philox import random_words


def add_noise_(
    tensors: Sequence[Tensor],
    layers: Sequence[int],
    words: Tensor,
    table: Tensor,
    scale: Tensor,
    seed: int,
    counter: Tensor,
    purpose: int,
) -> None:
    layout = SparseLayout.from_table(table)
    for tensor, layer in zip(tensors, layers, strict=True):
        shape = layout.layers[layer]
        active = expand_units(unpack_bits(layer_words(words, layout, layer), shape.units), shape)
        index = torch.arange(-(-shape.elements // 4), device=table.device)
        drawn = random_words(index, seed, purpose, layer, counter).view(-1)[: shape.elements]
        values = memory_order(tensor)
        total = values.to(torch.float32) + scale[layer] * standard_normal(drawn)
        values.copy_(total.to(tensor.dtype).where(active & ~total.isnan(), values))
