"""What one mask bit stands for in each sparse parameter: a weight, or a kernel slice."""

from __future__ import annotations

import torch
from torch import Tensor

from dsr.selection import CONVOLUTIONS, Owned
from dsr_kernels import LayerShape


def layer_shape(one: Owned, granularity: str) -> LayerShape:
    """The units of a parameter, in its memory order.

    Args:
        one: the parameter and its module.
        granularity: "element": every weight is a unit. "kernel": so is each slice [out, in] of a
            convolution weight of shape [out, in, \\*kernel]; other parameters as before.

    Raises:
        ValueError: a convolution weight whose slices are to be units is neither contiguous nor
            channels_last.
    """
    shape = tuple(one.parameter.shape)
    if granularity == "element" or not isinstance(one.module, CONVOLUTIONS) or len(shape) < 3:
        return LayerShape(one.parameter.numel())
    rows, columns, *kernel = shape
    size = one.parameter[:1, :1].numel() if rows and columns else 1
    strides = tuple(one.parameter.stride())
    if same_order(shape, strides, torch.empty(shape, device="meta").stride()):
        return LayerShape(rows * columns, size)
    channels_last = torch.empty((rows, *kernel, columns), device="meta").movedim(-1, 1)
    if same_order(shape, strides, channels_last.stride()):
        return LayerShape(rows, size, columns)
    raise ValueError(
        f"{one.name}: granularity 'kernel' expected a contiguous or channels_last weight, got "
        f"strides {list(strides)} for shape {list(shape)}; make it contiguous first"
    )


def unit_bits(elements: Tensor, shape: LayerShape, name: str) -> Tensor:
    """One bit a unit from one an element, in memory order: bool [elements] -> bool [units].

    Raises:
        ValueError: a unit is active in part; the text starts with ``name``.
    """
    rows = elements.view(shape.outer, shape.unit_size, shape.inner)
    units = rows[:, 0]
    split = int((rows != units.unsqueeze(1)).any(1).sum())
    if split:
        raise ValueError(
            f"{name}: expected each unit of {shape.unit_size} weights to be all active or all "
            f"inactive, got {split} of {shape.units} units that are split"
        )
    return units.reshape(-1)


def same_order(shape: tuple[int, ...], strides: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Whether strides agree wherever they matter: dimensions of size 1 have no order."""
    return strides == expected or all(
        a == b for size, a, b in zip(shape, strides, expected, strict=True) if size > 1
    )
