"""How a convolution lies on its input: arguments as pairs, sizes, padding by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

Pair = tuple[int, int]


class Geometry(NamedTuple):
    """Arguments of a convolution, checked: pairs are (height, width)."""

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


def geometry(
    x: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any, groups: Any
) -> tuple[Tensor, Geometry]:
    """Check the arguments. Returns x, padded where "same" is not symmetric, and the geometry.

    Raises:
        TypeError, ValueError: an argument is not as ``masked_conv2d`` describes it.
    """
    strides, dilations = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    check_groups(x, weight, groups)
    kernel = (weight.shape[2], weight.shape[3])
    if not isinstance(padding, str):
        paddings = pair(padding, "padding", 0)
    elif padding == "valid":
        paddings = (0, 0)
    elif padding == "same":
        if strides != (1, 1):
            raise ValueError(f"padding: 'same' expected stride 1, got stride {list(strides)}")
        x, paddings = _pad_same(x, kernel, dilations)
    else:
        raise ValueError(f"padding: expected an int, a pair, 'same' or 'valid', got {padding!r}")
    for i, name in enumerate(("height", "width")):
        needed = dilations[i] * (kernel[i] - 1) + 1
        have = x.shape[2 + i] + 2 * paddings[i]
        if have < needed:
            raise ValueError(
                f"x: expected a {name} of at least {needed} with padding, for kernel "
                f"{list(kernel)} and dilation {list(dilations)}, got {have}"
            )
    return x, Geometry(strides, paddings, dilations, groups)


def check_groups(x: Tensor, weight: Tensor, groups: Any) -> None:
    if not isinstance(groups, int) or isinstance(groups, bool):
        raise TypeError(f"groups: expected an int, got {type(groups).__name__}")
    if groups < 1 or weight.shape[0] % groups or x.shape[1] % groups:
        raise ValueError(
            f"groups: expected a divisor of {x.shape[1]} input and {weight.shape[0]} output "
            f"channels, got {groups}"
        )
    if weight.shape[1] * groups != x.shape[1]:
        raise ValueError(
            f"x: expected {weight.shape[1] * groups} channels, for weight {list(weight.shape)} and "
            f"groups {groups}, got shape {list(x.shape)}"
        )
    if 0 in weight.shape[2:]:
        raise ValueError(f"weight: expected a kernel of at least 1 x 1, got {list(weight.shape)}")


def pair(value: Any, name: str, least: int) -> Pair:
    """An int, or two of them, each at least ``least``."""
    values = (value, value) if isinstance(value, int) else value
    if isinstance(values, (str, Tensor)) or not isinstance(values, (tuple, list)):
        raise TypeError(f"{name}: expected an int or a pair, got {value!r:.40}")
    if any(not isinstance(v, int) or isinstance(v, bool) for v in values):
        raise TypeError(f"{name}: expected ints, got {value!r:.40}")
    if len(values) != 2 or min(values) < least:
        raise ValueError(f"{name}: expected an int or a pair of at least {least}, got {value!r}")
    return (values[0], values[1])


def output_size(x_size: Pair, kernel: Pair, shape: Geometry) -> Pair:
    """Height and width of the output."""
    height, width = (
        (x_size[i] + 2 * shape.padding[i] - shape.dilation[i] * (kernel[i] - 1) - 1)
        // shape.stride[i]
        + 1
        for i in range(2)
    )
    return height, width


def is_channels_last(tensor: Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()


def format_of(*tensors: Tensor) -> torch.memory_format:
    """channels_last if any of the tensors is, as torch's own convolutions choose."""
    return torch.channels_last if any(map(is_channels_last, tensors)) else torch.contiguous_format


def _pad_same(x: Tensor, kernel: Pair, dilation: Pair) -> tuple[Tensor, Pair]:
    """Where the zeros cannot lie evenly, those to the right and below are put in here."""
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    before = (totals[0] // 2, totals[1] // 2)
    more = [total % 2 for total in totals]
    if any(more):
        x = functional.pad(x, (0, more[1], 0, more[0]))
    return x, before


def both_gradients(
    of_input: Callable[..., Tensor], of_weight: Callable[..., Tensor]
) -> Callable[..., tuple[Tensor, Tensor]]:
    """``masked_conv2d_grads`` of a backend that has a kernel for each of the two."""

    def masked_conv2d_grads(
        grad: Tensor, x: Tensor, weight: Tensor, words: Tensor, units: Sequence[int], *rest: Any
    ) -> tuple[Tensor, Tensor]:
        *place, weight_is_masked, structure = rest
        order = is_channels_last(x)
        grad_x = of_input(
            grad, weight, words, units, x.shape, order, *place, weight_is_masked, structure
        )
        grad_weight = of_weight(
            grad, x, words, units, weight.shape, weight.stride(), *place, structure
        )
        return grad_x, grad_weight

    return masked_conv2d_grads
