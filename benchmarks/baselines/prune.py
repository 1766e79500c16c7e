"""Pruning by threshold, and the counts, in eager PyTorch: what one writes first, and better.

All of them take the threshold on the host and leave out what ``prune_threshold_`` does besides: a
layer's last unit is not kept, NaN and Inf are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

INTEGERS = {torch.float32: torch.int32, torch.bfloat16: torch.int16}
Counts = tuple[Tensor, Tensor]  # pruned and surviving units a layer


def masks(weights: Sequence[Tensor], flags: Sequence[Tensor], h: float) -> Counts:
    """A bool mask a layer, written down as one would say it."""
    pruned, surviving = [], []
    for weight, flag in zip(weights, flags, strict=True):
        gone = (weight.abs() < h) & flag
        flag &= ~gone
        weight.masked_fill_(gone, 0)
        pruned.append(gone.sum())
        surviving.append(flag.sum())
    return torch.stack(pruned), torch.stack(surviving)


def preallocated(
    weights: Sequence[Tensor],
    flags: Sequence[Tensor],
    h: float,
    active: Tensor,
    magnitudes: Sequence[Tensor],
    below: Sequence[Tensor],
) -> Counts:
    """No temporary; an inactive weight is 0 and so below; pruned is what is missing."""
    for weight, flag, magnitude, low in zip(weights, flags, magnitudes, below, strict=True):
        torch.abs(weight, out=magnitude)
        torch.lt(magnitude, h, out=low)
        torch.logical_not(low, out=flag)
        weight.masked_fill_(low, 0)
    return _counts(flags, active)


def foreach(weights: Sequence[Tensor], flags: Sequence[Tensor], h: float, active: Tensor) -> Counts:
    """Magnitudes and zeros of all layers in one call each."""
    for magnitude, flag in zip(torch._foreach_abs(list(weights)), flags, strict=True):
        torch.ge(magnitude, h, out=flag)
    torch._foreach_mul_(list(weights), list(flags))
    return _counts(flags, active)


def hardshrink(
    weights: Sequence[Tensor], flags: Sequence[Tensor], h: float, active: Tensor
) -> Counts:
    """``hardshrink`` zeroes |w| <= lambda in one pass: lambda is the float below h."""
    for weight, flag in zip(weights, flags, strict=True):
        bits = torch.tensor(h, dtype=weight.dtype).view(INTEGERS[weight.dtype])
        below_h = float((bits - 1).view(weight.dtype))
        torch.hardshrink(weight, below_h, out=weight)
        torch.ne(weight, 0, out=flag)
    return _counts(flags, active)


def hardshrink_flat(
    weights: Tensor, flags: Tensor, layer_flags: Sequence[Tensor], h: float, active: Tensor
) -> Counts:
    """The same for a user who stores all layers in one buffer."""
    hardshrink([weights], [flags], h, active)
    return _counts(layer_flags, active)


def index_list(
    weights: Tensor, flags: Tensor, indices: Tensor, ends: Tensor, h: float, active: Tensor
) -> tuple[Counts, Tensor, Tensor]:
    """With a list of all active places kept beside the mask: only these are looked at.

    Returns:
        The counts, the places that stay, and the places pruned.
    """
    below = weights.index_select(0, indices).abs_().lt(h)
    gone, stay = indices.masked_select(below), indices.masked_select(~below)
    weights.index_fill_(0, gone, 0)
    flags.index_fill_(0, gone, False)
    layers = torch.bucketize(gone, ends, right=True)
    pruned = torch.bincount(layers, minlength=len(ends))
    return (pruned, active - pruned), stay, gone


def compiled() -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor], Counts]:
    """``torch.compile`` of one layer's pruning, with dynamic sizes."""

    def layer(weight: Tensor, flag: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        gone = (weight.abs() < h) & flag
        weight.masked_fill_(gone, 0)
        flag.logical_and_(~gone)
        return gone.sum(), flag.sum()

    compiled_layer = torch.compile(layer, dynamic=True, fullgraph=True)

    def run(weights: Sequence[Tensor], flags: Sequence[Tensor], h: Tensor) -> Counts:
        pairs = [compiled_layer(w, flag, h) for w, flag in zip(weights, flags, strict=True)]
        pruned, surviving = zip(*pairs, strict=True)
        return torch.stack(pruned), torch.stack(surviving)

    return run


def _counts(flags: Sequence[Tensor], active: Tensor) -> Counts:
    surviving = torch.stack([flag.count_nonzero() for flag in flags])
    return active - surviving, surviving
