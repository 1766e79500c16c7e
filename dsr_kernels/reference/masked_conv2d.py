"""masked_conv2d and its gradients in plain PyTorch: the definition."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn import grad as gradients

from dsr_kernels.conv_geometry import both_gradients, format_of
from dsr_kernels.reference.masked_linear import select


def masked_conv2d(
    x: Tensor,
    weight: Tensor,
    words: Tensor,
    bias: Tensor | None,
    units: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    weight_is_masked: bool,
    structure: str,
) -> Tensor:
    masked = select(weight, words, units)
    output = functional.conv2d(
        x, masked, bias, tuple(stride), tuple(padding), tuple(dilation), groups
    )
    return output.contiguous(memory_format=format_of(x, weight))


def masked_conv2d_grad_input(
    grad: Tensor,
    weight: Tensor,
    words: Tensor,
    units: Sequence[int],
    size: Sequence[int],
    channels_last: bool,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    weight_is_masked: bool,
    structure: str,
) -> Tensor:
    masked = select(weight, words, units)
    result = gradients.conv2d_input(
        tuple(size), masked, grad, tuple(stride), tuple(padding), tuple(dilation), groups
    )
    order = torch.channels_last if channels_last else torch.contiguous_format
    return result.contiguous(memory_format=order)


def masked_conv2d_grad_weight(
    grad: Tensor,
    x: Tensor,
    words: Tensor,
    units: Sequence[int],
    size: Sequence[int],
    strides: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    structure: str,
) -> Tensor:
    result = gradients.conv2d_weight(
        x, tuple(size), grad, tuple(stride), tuple(padding), tuple(dilation), groups
    )
    in_order = torch.empty_strided(tuple(size), tuple(strides), dtype=x.dtype, device=x.device)
    return select(in_order.copy_(result), words, units)


masked_conv2d_grads = both_gradients(masked_conv2d_grad_input, masked_conv2d_grad_weight)
