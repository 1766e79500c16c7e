"""Pruning what changed its sign (DeepR) in eager PyTorch; weights are 0 where inactive."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def authors(weights: Sequence[Tensor], masks: Sequence[Tensor], signs: Sequence[Tensor]) -> None:
    """A float mask and a float sign a layer, as the DSR paper's authors write DeepR."""
    for weight, mask, sign in zip(weights, masks, signs, strict=True):
        flipped = (weight.sign() * sign < -0.5) & (mask > 0.5)
        mask[flipped] = 0
        weight[mask == 0] = 0
        sign.copy_(weight.sign())


def masks(weights: Sequence[Tensor], flags: Sequence[Tensor], signs: Sequence[Tensor]) -> None:
    """A bool mask a layer; a product below 0 tells a changed sign."""
    for weight, flag, sign in zip(weights, flags, signs, strict=True):
        flipped = weight * sign < 0
        flag &= ~flipped
        weight.masked_fill_(flipped, 0)
        torch.sign(weight, out=sign)


def one_buffer(weights: Tensor, flags: Tensor, signs: Tensor, flipped: Tensor) -> None:
    """No temporaries, all layers at once: the product goes where the signs are anyway replaced."""
    signs.mul_(weights)
    torch.lt(signs, 0, out=flipped)
    weights.masked_fill_(flipped, 0)
    flags.logical_and_(flipped.logical_not_())
    torch.sign(weights, out=signs)
