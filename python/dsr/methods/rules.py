"""The rules that the methods are made of: calls of ops, on all layers at once."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from dsr.methods.protocol import Grow, Pruned, Reallocation, Redistribute, SparseParam
from dsr.methods.schedules import Decay
from dsr_kernels import (
    BitMask,
    Purpose,
    add_noise_,
    fraction_of,
    grow_random_,
    prune_sign_flips_,
    prune_smallest_,
    prune_threshold_,
)


class BelowThreshold:
    """Prune every weight of magnitude below the adaptive global threshold (DSR, section 3)."""

    def apply(self, reallocation: Reallocation) -> Pruned:
        r = reallocation
        return Pruned(*prune_threshold_(r.weights, r.mask, r.threshold, zero=r.zero_pruned))


@dataclass(frozen=True)
class SmallestFraction:
    """Prune a fraction of each layer's active weights, smallest magnitude first (SET)."""

    fraction: float | Decay

    def count(self, reallocation: Reallocation) -> Tensor:
        """Weights to prune in each layer, int64 [layers]."""
        fraction = self.fraction
        if isinstance(fraction, Decay):
            fraction = fraction.at(reallocation.step, reallocation.total_steps)
        return fraction_of(reallocation.active, fraction)

    def apply(self, reallocation: Reallocation) -> Pruned:
        r = reallocation
        return Pruned(*prune_smallest_(r.weights, r.mask, self.count(r), zero=r.zero_pruned))


@dataclass(frozen=True)
class SmallestOfEachSign:
    """Prune a fraction of each layer's negative weights and of its others, nearest to 0 first.

    A weight of exactly 0 counts among the positive ones and goes first there (SET's own rule).
    """

    fraction: float

    def apply(self, reallocation: Reallocation) -> Pruned:
        r = reallocation
        active, layout = r.mask.clone(), r.mask.layout
        above, below = BitMask.zeros(layout, r.mask.device), BitMask.zeros(layout, r.mask.device)
        prune_sign_flips_(r.weights, active, above, below, zero=False)  # notes the signs
        above.words.copy_(active.words & ~below.words)
        parts = []
        for side in (below, above):
            count = fraction_of(side.counts(), self.fraction)
            parts.append(Pruned(*prune_smallest_(r.weights, side, count, zero=r.zero_pruned)))
        r.mask.words.copy_(above.words | below.words)
        return Pruned(*(low + high for low, high in zip(*parts, strict=True)))


class SignFlips:
    """Prune every weight whose sign the step has changed (DeepR); a rule before it took them."""

    def apply(self, reallocation: Reallocation) -> Pruned:
        r = reallocation
        if r.signs is None:
            raise RuntimeError("SignFlips: expected a before_step rule to take the signs")
        return Pruned(*prune_sign_flips_(r.weights, r.mask, *r.signs, zero=r.zero_pruned))


class BySurvivors(Redistribute):
    """Split growth by the number of weights that pruning left in each layer (DSR, Algorithm 1)."""

    def shares(self, reallocation: Reallocation) -> Tensor:
        return reallocation.surviving


class BySize(Redistribute):
    """Split growth by the number of units of each layer, active or not."""

    def shares(self, reallocation: Reallocation) -> Tensor:
        return reallocation.units


class RandomGrowth:
    """Grow free units drawn uniformly, by counter-based random numbers."""

    def apply(self, reallocation: Reallocation, counts: Tensor) -> Tensor:
        r = reallocation
        return grow_random_(r.mask, r.previous, counts, seed=r.seed, reallocation=r.number)


class NoisyGrowth(RandomGrowth, ABC):
    """Grow as :class:`RandomGrowth`, the new weights normal random numbers instead of 0."""

    def apply(self, reallocation: Reallocation, counts: Tensor) -> Tensor:
        r = reallocation
        before = r.mask.words.clone()
        grown = super().apply(r, counts)
        new = BitMask(r.mask.layout, r.mask.words & ~before)
        scale = torch.tensor([self.deviation(weight.shape) for weight in r.weights])
        add_noise_(
            r.weights,
            new,
            scale.to(r.mask.device, non_blocking=True),
            seed=r.seed,
            counter=r.number,
            purpose=Purpose.NEW_WEIGHT,
        )
        return grown

    @staticmethod
    @abstractmethod
    def deviation(shape: torch.Size) -> float:
        """The standard deviation of new weights in a layer of that shape."""


class RandomNormalGrowth(NoisyGrowth):
    """The new weights are normal as those of a fresh dense layer.

    Their standard deviation is sqrt(2 / (out * kernel)) for a convolution weight
    [out, in, *kernel] and 1 / sqrt(in) for a linear one, as in the DSR authors' code.
    """

    @staticmethod
    def deviation(shape: torch.Size) -> float:
        if len(shape) > 2:
            return math.sqrt(2 / max(1, shape[0] * math.prod(shape[2:])))
        return 1 / math.sqrt(max(1, shape[-1]))


class RandomSignGrowth(NoisyGrowth):
    """The new weights are so small that they have a random sign and nothing else (DeepR).

    float16 has no number so small: there they start at 0.
    """

    @staticmethod
    def deviation(shape: torch.Size) -> float:
        return 1e-12


@dataclass(frozen=True)
class SmallestOverall:
    """Prune exactly ``count`` weights, the smallest over all layers; none loses its last."""

    count: int

    def apply(self, reallocation: Reallocation) -> Pruned:
        r = reallocation
        count = torch.full((1,), self.count, device=r.active.device)
        return Pruned(
            *prune_smallest_(
                r.weights, r.mask, count, per_layer=False, zero=r.zero_pruned, keep_one=True
            )
        )


class LargestGradient(Grow):
    """Grow the free weights of largest gradient (RigL); a weight without one comes last."""

    def score(self, param: SparseParam) -> Tensor:
        return torch.zeros_like(param.weight) if param.grad is None else param.grad
