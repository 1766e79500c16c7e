"""How the authors of the papers write a reallocation, layer by layer with dense float masks.

Written from a description of what their programs compute: the DSR paper's reallocation
(Mostafa and Wang, 2019), its version of SET, and the sort of sparse momentum (Dettmers and
Zettlemoyer, 2019). They leave the optimizer's state alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

# Growth lists free places on the host: a call took 16 s at 25 million weights, and grows with them.
MOST_WEIGHTS = 50_000_000


def prune_threshold(weights: Sequence[Tensor], masks: Sequence[Tensor], h: float) -> list[Tensor]:
    """Drop active weights below ``h``. Returns the places pruned in each layer."""
    gone = []
    for weight, mask in zip(weights, masks, strict=True):
        active = mask.nonzero().view(-1)
        below = active[weight[active].abs() < h]
        if len(below) == len(active):
            below = below[1:]
        _drop(weight, mask, below)
        gone.append(below)
    return gone


def prune_smallest(
    weights: Sequence[Tensor], masks: Sequence[Tensor], counts: Sequence[int]
) -> None:
    """Drop the ``counts[i]`` smallest active weights of layer i, by a sort of the active ones."""
    for weight, mask, count in zip(weights, masks, counts, strict=True):
        active = mask.nonzero().view(-1)
        order = weight[active].abs().sort().indices
        _drop(weight, mask, active[order[:count]])


def _drop(weight: Tensor, mask: Tensor, places: Tensor) -> None:
    mask[places] = 0
    weight[mask == 0] = 0


def grow_random(mask: Tensor, pruned: Tensor, count: int, *, unique: bool = False) -> int:
    """Activate ``count`` random places, none of them just pruned. Returns how many there were.

    ``unique`` tells NumPy that neither list holds a place twice, which the authors leave to it to
    find out.
    """
    inactive = (mask == 0).nonzero().view(-1)
    places = inactive.cpu().numpy(), pruned.cpu().numpy()
    free = np.setdiff1d(*places, assume_unique=unique)
    chosen = torch.from_numpy(free)[torch.randperm(len(free))[:count]]
    mask[chosen.to(mask.device)] = 1
    return len(chosen)


def reallocate(
    weights: Sequence[Tensor],
    masks: Sequence[Tensor],
    h: float,
    target: int,
    *,
    unique: bool = False,
) -> tuple[float, int]:
    """One reallocation of DSR. Returns the new threshold and how many weights moved."""
    pruned = prune_threshold(weights, masks, h)
    surviving = np.array([float(mask.sum()) for mask in masks])
    shares = surviving / surviving.sum()
    total, grown = sum(len(places) for places in pruned), 0
    while grown < total:
        left = total - grown
        counts = np.round(shares * left).astype(np.int64)
        lucky = np.random.randint(len(counts))
        counts[lucky] = max(0, counts[lucky] + left - counts.sum())
        for mask, places, count in zip(masks, pruned, counts, strict=True):
            grown += grow_random(mask, places, int(count), unique=unique)
    if total > 1.1 * target:
        h /= 2
    elif total < 0.9 * target:
        h *= 2
    return h, total
