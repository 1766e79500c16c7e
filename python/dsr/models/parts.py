"""What the convolutional models share: channel counts and the DSR authors' initial weights."""

from __future__ import annotations

import math

from torch import nn


def draw_weights(model: nn.Module) -> None:
    """Initialise a network in place as the DSR authors' code does.

    A convolution of ``k x k`` kernels gets N(0, sigma) with sigma^2 = 2 / (k k C_out), batch
    normalisation weight 1 and bias 0. A Linear layer keeps PyTorch's U(-1/sqrt(fan_in),
    1/sqrt(fan_in)) for its weight and gets bias 0. Sparsity does not enter: weights are drawn as
    for the dense network and :func:`dsr.sparsify` zeroes the inactive ones.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            height, width = module.kernel_size
            nn.init.normal_(
                module.weight, std=math.sqrt(2 / (height * width * module.out_channels))
            )
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


def widened(channels: int, width: float) -> int:
    """``channels * width`` rounded half to even, as in the authors' code.

    Raises:
        ValueError: nothing is left, or ``width`` is not finite.
    """
    if not math.isfinite(width) or round(channels * width) < 1:
        raise ValueError(
            f"width: expected a finite number that leaves at least 1 of {channels} channels, "
            f"got {width}"
        )
    return round(channels * width)


def check_sizes(low: int = 1, **sizes: int) -> None:
    """Refuse a size below ``low``; the keyword is the argument's name.

    Raises:
        TypeError: not an int.
        ValueError: below ``low``.
    """
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name}: expected an int, got {value!r}")
        if value < low:
            raise ValueError(f"{name}: expected at least {low}, got {value}")
