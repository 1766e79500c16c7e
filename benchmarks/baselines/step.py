"""A whole reallocation of DSR in eager PyTorch: prune, split, grow, clear momentum."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.baselines import grow, prune
from benchmarks.inputs import Problem


def largest_remainder(total: int, shares: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Split ``total`` by ``shares``, no layer above its ``room``; the rest goes round again."""
    given = np.zeros_like(shares)
    while total > 0:
        weights = np.where(given < room, shares, 0)
        if not weights.any():
            weights = room - given
        exact = weights * total
        parts = exact // weights.sum()
        order = np.argsort(-(exact % weights.sum()), kind="stable")
        parts[order[: total - parts.sum()]] += 1
        parts = np.minimum(parts, room - given)
        given += parts
        total -= int(parts.sum())
    return given


class EagerStep(ABC):
    """What the eager steps share: the host adapts the threshold and splits the growth."""

    def __init__(self, problem: Problem, lower: int, upper: int) -> None:
        self.problem, self.bounds, self.h = problem, (lower, upper), problem.h
        self.occupied = torch.empty_like(problem.flags)
        self.weights = problem.layers(problem.weights)
        self.flags = problem.layers(problem.flags)
        self.momentum = problem.layers(problem.momentum)

    def run(self) -> None:
        p = self.problem
        self.occupied.copy_(p.flags)
        pruned, surviving = self.prune()
        total = int(pruned.sum())
        free = p.units - p.active
        counts = largest_remainder(total, surviving.cpu().numpy(), free.cpu().numpy())
        if total > self.bounds[1]:
            self.h /= 2
        elif total < self.bounds[0]:
            self.h *= 2
        self.grow(torch.from_numpy(counts).to(p.device), free)

    @abstractmethod
    def prune(self) -> prune.Counts:
        """Prune, and clear the momentum of what was pruned."""

    @abstractmethod
    def grow(self, counts: Tensor, free: Tensor) -> None:
        """Grow; momentum is 0 there already, as it is at every inactive weight."""


class MaskStep(EagerStep):
    """A bool mask a layer, nonzero and randperm: what one writes first."""

    def prune(self) -> prune.Counts:
        counts = prune.masks(self.weights, self.flags, self.problem.h)
        for momentum, flag in zip(self.momentum, self.flags, strict=True):
            momentum.masked_fill_(~flag, 0)
        return counts

    def grow(self, counts: Tensor, free: Tensor) -> None:
        occupied = self.problem.layers(self.occupied)
        grow.nonzero_randperm(occupied, self.flags, counts.tolist())


class FlatStep(EagerStep):
    """One buffer for all layers: hardshrink, and rejection sampling for all layers at once."""

    def __init__(self, problem: Problem, lower: int, upper: int) -> None:
        super().__init__(problem, lower, upper)
        self.inactive = torch.empty_like(problem.flags)
        self.rejection = grow.FlatRejection(problem.sizes, problem.device)

    def prune(self) -> prune.Counts:
        p = self.problem
        counts = prune.hardshrink_flat(p.weights, p.flags, self.flags, p.h, p.active)
        torch.logical_not(p.flags, out=self.inactive)
        p.momentum.masked_fill_(self.inactive, 0)
        return counts

    def grow(self, counts: Tensor, free: Tensor) -> None:
        self.rejection.grow(self.occupied, self.problem.flags, counts, free)


class CompiledStep(FlatStep):
    """The same with its pruning compiled: weights, mask and momentum in one pass.

    Growth stays eager, since how many places are drawn again depends on the draws.
    """

    def __init__(self, problem: Problem, lower: int, upper: int) -> None:
        super().__init__(problem, lower, upper)
        self.prune_all = compiled_pruning()

    def prune(self) -> prune.Counts:
        p = self.problem
        self.prune_all(p.weights, p.momentum, p.flags, p.threshold)
        surviving = torch.stack([flag.count_nonzero() for flag in self.flags])
        return p.active - surviving, surviving


def compiled_pruning() -> Callable[[Tensor, Tensor, Tensor, Tensor], None]:
    """``torch.compile`` of pruning one buffer of weights, and its mask and momentum."""

    def all_layers(weights: Tensor, momentum: Tensor, flags: Tensor, h: Tensor) -> None:
        gone = weights.abs() < h
        weights.masked_fill_(gone, 0)
        momentum.masked_fill_(gone, 0)
        torch.logical_not(gone, out=flags)

    compiled: Callable[[Tensor, Tensor, Tensor, Tensor], None] = torch.compile(
        all_layers, dynamic=True, fullgraph=True
    )
    return compiled


class IndexStep(FlatStep):
    """A list of the active places besides, so that pruning looks at no other weight."""

    def __init__(self, problem: Problem, lower: int, upper: int) -> None:
        super().__init__(problem, lower, upper)
        self.start = problem.flags.nonzero().view(-1)
        self.indices = self.start
        self.ends = problem.units.cumsum(0)

    def prune(self) -> prune.Counts:
        p = self.problem
        counts, self.indices, gone = prune.index_list(
            p.weights, p.flags, self.indices, self.ends, p.h, p.active
        )
        p.momentum.index_fill_(0, gone, 0)
        return counts

    def grow(self, counts: Tensor, free: Tensor) -> None:
        grown = self.rejection.grow(self.occupied, self.problem.flags, counts, free)
        self.indices = torch.cat([self.indices, grown])

    def restore(self) -> None:
        self.indices = self.start
