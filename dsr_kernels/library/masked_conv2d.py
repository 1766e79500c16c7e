"""masked_conv2d by torch's own convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from dsr_kernels.conv_geometry import format_of
from dsr_kernels.library.masking import mask_, masked_weight


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
    masked = masked_weight(weight, words, units, weight_is_masked)
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
    masked = masked_weight(weight, words, units, weight_is_masked)
    order = torch.channels_last if channels_last else torch.contiguous_format
    # Only the shape and the memory format of the input matter: its values stay unset.
    like = torch.empty(tuple(size), dtype=grad.dtype, device=grad.device, memory_format=order)
    result = _backward(grad, like, masked, stride, padding, dilation, groups, 0)
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
    like = torch.empty_strided(tuple(size), tuple(strides), dtype=x.dtype, device=x.device)
    result = _backward(grad, x, like, stride, padding, dilation, groups, 1)
    if result.stride() != like.stride():
        result = like.copy_(result)
    return mask_(result, words, units)


def _backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    wanted: int,
) -> Tensor:
    """One of the gradients that torch's convolution has: 0 the input's, 1 the weight's."""
    results = torch.ops.aten.convolution_backward(
        grad,
        x,
        weight,
        None,
        list(stride),
        list(padding),
        list(dilation),
        False,
        [0, 0],
        groups,
        [wanted == 0, wanted == 1, False],
    )
    result: Tensor = results[wanted]
    return result
