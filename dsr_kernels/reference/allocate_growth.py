"""allocate_growth in plain PyTorch: the definition."""

from __future__ import annotations

import torch
from torch import Tensor

from dsr_kernels.layout import MAX_TOTAL_UNITS

LOWEST_THRESHOLD = 2.0**-126
HIGHEST_THRESHOLD = 2.0**126


def allocate_growth(
    threshold: Tensor, pruned: Tensor, shares: Tensor, capacity: Tensor, lower: int, upper: int
) -> Tensor:
    # No product below leaves an int64 while all of these are at most MAX_TOTAL_UNITS.
    pruned, shares, capacity = (
        values.clamp(0, MAX_TOTAL_UNITS) for values in (pruned, shares, capacity)
    )
    total = min(int(pruned.sum()), MAX_TOTAL_UNITS)
    if threshold.numel():
        adapt_(threshold, total, lower, upper)
    grown = split(total, shares, capacity)
    return grown + split(total - int(grown.sum()), shares, pruned)


def adapt_(threshold: Tensor, total: int, lower: int, upper: int) -> None:
    """Halve the threshold if too many were pruned, double it if too few, within its bounds."""
    if total > upper:
        threshold.mul_(0.5)
    elif total < lower:
        threshold.mul_(2.0)
    # By comparison, not by clamp: it would let a NaN through.
    threshold.copy_(threshold.where(threshold >= LOWEST_THRESHOLD, LOWEST_THRESHOLD))
    threshold.copy_(threshold.where(threshold <= HIGHEST_THRESHOLD, HIGHEST_THRESHOLD))


def split(remaining: int, shares: Tensor, room: Tensor) -> Tensor:
    """Places for ``remaining`` units: in proportion to ``shares``, never more than ``room``."""
    taken = torch.zeros_like(room)
    while remaining > 0 and bool((room > taken).any()):
        free = room - taken
        weights = shares.where(free > 0, 0)
        if not weights.any():
            weights = free
        take = torch.minimum(largest_remainder(remaining, weights), free)
        taken += take
        remaining -= int(take.sum())
    return taken


def largest_remainder(total: int, weights: Tensor) -> Tensor:
    """``total`` in proportion to ``weights``: the floors, then one each by largest remainder.

    Equal remainders go to the lower layer.
    """
    products = weights * total
    whole = weights.sum()
    quotas = products // whole
    order = torch.sort(products % whole, descending=True, stable=True).indices
    quotas[order[: total - int(quotas.sum())]] += 1
    return quotas
