"""The k-th smallest magnitude among active weights in eager PyTorch. Ties are left undecided."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

SELECTIONS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "topk": lambda values, k: values.topk(k, largest=False, sorted=False).values.max(),
    "kthvalue": lambda values, k: values.kthvalue(k).values,
    "sort": lambda values, k: values.sort().values[k - 1],
}


def flat(name: str, weights: Tensor, inactive: Tensor, magnitudes: Tensor, k: int) -> Tensor:
    """Select among all weights in one buffer, inactive ones counting as infinite."""
    torch.abs(weights, out=magnitudes)
    return SELECTIONS[name](magnitudes.masked_fill_(inactive, torch.inf), k)


def gathered(name: str, weights: Tensor, flags: Tensor, k: int) -> Tensor:
    """Gather the active weights first, so that only a few are left to select from."""
    return SELECTIONS[name](weights.masked_select(flags).abs_(), k)


def prune_topk(weights: Sequence[Tensor], flags: Sequence[Tensor], counts: Sequence[int]) -> None:
    """Prune the smallest of each layer: gather the active weights, ``topk``, scatter."""
    for weight, flag, count in zip(weights, flags, counts, strict=True):
        active = flag.nonzero().view(-1)
        magnitudes = weight[active].abs_()
        gone = active[magnitudes.topk(count, largest=False, sorted=False).indices]
        flag[gone] = False
        weight[gone] = 0


def prune_kthvalue(
    weights: Sequence[Tensor], flags: Sequence[Tensor], counts: Sequence[int]
) -> None:
    """Prune up to the k-th value of each layer; equal magnitudes all go."""
    for weight, flag, count in zip(weights, flags, counts, strict=True):
        cut = weight.masked_select(flag).abs_().kthvalue(count).values
        torch.gt(weight.abs(), cut, out=flag)
        weight.masked_fill_(~flag, 0)


def prune_sort(weights: Sequence[Tensor], flags: Sequence[Tensor], counts: Sequence[int]) -> None:
    """Sort all magnitudes of each layer: the inactive weights come first."""
    for weight, flag, count in zip(weights, flags, counts, strict=True):
        inactive = len(flag) - int(flag.sum())
        gone = weight.abs().sort().indices[: inactive + count]
        flag[gone] = False
        weight[gone] = 0


def grow_topk(
    scores: Sequence[Tensor],
    occupied: Sequence[Tensor],
    flags: Sequence[Tensor],
    counts: Sequence[int],
) -> None:
    """Grow the free places of largest |score| in each layer, by ``topk``."""
    for score, taken, flag, count in zip(scores, occupied, flags, counts, strict=True):
        magnitudes = score.abs().masked_fill_(taken, -1)
        flag[magnitudes.topk(count, sorted=False).indices] = True


def grow_sort(
    scores: Sequence[Tensor],
    occupied: Sequence[Tensor],
    flags: Sequence[Tensor],
    counts: Sequence[int],
) -> None:
    """The same by a whole sort, as the methods' published programs do."""
    for score, taken, flag, count in zip(scores, occupied, flags, counts, strict=True):
        order = score.abs().masked_fill_(taken, -1).sort(descending=True).indices
        flag[order[:count]] = True
