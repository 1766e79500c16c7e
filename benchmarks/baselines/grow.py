"""Random growth in eager PyTorch. ``occupied`` is the mask before pruning, which must not grow."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SPARE_DRAWS = 1.05  # for places drawn twice


def nonzero_randperm(
    occupied: Sequence[Tensor], flags: Sequence[Tensor], counts: Sequence[int]
) -> None:
    """List the free places of a layer and take the first of a permutation."""
    for taken, flag, count in zip(occupied, flags, counts, strict=True):
        free = (~taken).nonzero().view(-1)
        order = torch.randperm(len(free), device=free.device)
        flag[free[order[:count]]] = True


class NonzeroStatic:
    """The same without a wait for the device: ``nonzero_static``, the free places being counted.

    A permutation of all free places is still drawn in every call.

    Args:
        free: free places of each layer.
    """

    def __init__(self, free: Sequence[int]) -> None:
        self.free = free

    def grow(
        self, occupied: Sequence[Tensor], flags: Sequence[Tensor], counts: Sequence[int]
    ) -> None:
        for taken, flag, count, size in zip(occupied, flags, counts, self.free, strict=True):
            free = torch.nonzero_static(~taken, size=size).view(-1)
            order = torch.randperm(size, device=free.device)
            flag.index_fill_(0, free[order[:count]], True)


def rand_topk(occupied: Sequence[Tensor], flags: Sequence[Tensor], counts: Sequence[int]) -> None:
    """A random number a place, and the largest of the free ones."""
    for taken, flag, count in zip(occupied, flags, counts, strict=True):
        score = torch.rand(len(taken), device=taken.device).masked_fill_(taken, -1)
        flag[score.topk(count, sorted=False).indices] = True


def rejection(occupied: Sequence[Tensor], flags: Sequence[Tensor], counts: Sequence[int]) -> None:
    """Draw places with replacement until enough free ones are found, layer by layer."""
    for taken, flag, count in zip(occupied, flags, counts, strict=True):
        missing = count
        while missing > 0:
            places = torch.randint(len(taken), (missing,), device=taken.device)
            places = places[~(taken[places] | flag[places])].unique()
            flag[places] = True
            missing -= len(places)


class FlatRejection:
    """Rejection for all layers at once, in one buffer, without a sort.

    Of equal draws one is kept: each writes its number to the place it drew and looks who was last.
    A layer's draws are in no order that depends on the places, so the first of them are a uniform
    choice.

    Args:
        sizes: units of each layer.
        device: of the masks.
    """

    def __init__(self, sizes: Sequence[int], device: torch.device) -> None:
        self.sizes = torch.tensor(sizes, device=device)
        self.starts = self.sizes.cumsum(0) - self.sizes
        self.layers = torch.arange(len(sizes), device=device)
        self.tickets = torch.empty(sum(sizes), dtype=torch.int32, device=device)

    def grow(self, occupied: Tensor, flags: Tensor, counts: Tensor, free: Tensor) -> Tensor:
        """Activate ``counts[i]`` of the ``free[i]`` free places of layer i; returns the places."""
        grown: list[Tensor] = []
        missing = counts
        while not grown or int(missing.sum()) > 0:
            places = self._round(occupied, flags, missing, free)
            flags.index_fill_(0, places, True)
            grown.append(places)
            layers = torch.bucketize(places, self.starts, right=True) - 1
            missing = missing - torch.bincount(layers, minlength=len(counts))
        return torch.cat(grown)

    def _round(self, occupied: Tensor, flags: Tensor, missing: Tensor, free: Tensor) -> Tensor:
        draws = (missing * (SPARE_DRAWS * self.sizes / free.clamp(min=1))).long() + 16 * (
            missing > 0
        )
        layers = torch.repeat_interleave(self.layers, draws)
        fractions = torch.rand(len(layers), dtype=torch.float64, device=layers.device)
        places = (fractions * self.sizes[layers]).long() + self.starts[layers]
        numbers = torch.arange(len(places), dtype=torch.int32, device=places.device)
        self.tickets[places] = numbers
        good = (self.tickets[places] == numbers) & ~(occupied[places] | flags[places])
        ranks = good.cumsum(0)
        firsts = draws.cumsum(0) - draws
        before = torch.where(firsts > 0, ranks[firsts - 1], 0)
        return places[good & (ranks - before[layers] <= missing[layers])]
