"""masked_linear and its gradients in plain PyTorch: the definition."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from dsr_kernels.checks import memory_order
from dsr_kernels.layout import LayerShape
from dsr_kernels.mask import expand_units, unpack_bits
from dsr_kernels.products import as_rows


def select(tensor: Tensor, words: Tensor, units: Sequence[int]) -> Tensor:
    """A copy of a dense tensor, with its strides and +0.0 where the mask is inactive."""
    shape = LayerShape(*units)
    active = expand_units(unpack_bits(words, shape.units), shape)
    copy = torch.empty_strided(
        tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device
    )
    memory_order(copy).copy_(memory_order(tensor)).masked_fill_(~active, 0.0)
    return copy


def masked_linear(
    x: Tensor,
    weight: Tensor,
    words: Tensor,
    bias: Tensor | None,
    units: Sequence[int],
    weight_is_masked: bool,
    structure: str,
) -> Tensor:
    return functional.linear(x, select(weight, words, units), bias).contiguous()


def masked_linear_grad_input(
    grad: Tensor,
    weight: Tensor,
    words: Tensor,
    units: Sequence[int],
    weight_is_masked: bool,
    structure: str,
) -> Tensor:
    return torch.matmul(grad, select(weight, words, units)).contiguous()


def masked_linear_grad_weight(
    grad: Tensor,
    x: Tensor,
    words: Tensor,
    units: Sequence[int],
    strides: Sequence[int],
    structure: str,
) -> Tensor:
    product = torch.mm(as_rows(grad).t(), as_rows(x))
    in_order = torch.empty_strided(
        product.shape, tuple(strides), dtype=x.dtype, device=x.device
    ).copy_(product)
    return select(in_order, words, units)
