"""The parts methods are made of: rules that prune, redistribute and grow.

A rule works on all layers at once through the ops of ``dsr_kernels``. A rule of your own derives
from :class:`Prune`, :class:`Redistribute` or :class:`Grow` and answers one question a layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from dsr_kernels import (
    BitMask,
    apply_mask_,
    fraction_of,
    grow_largest_,
    grow_random_,
    prune_smallest_,
    prune_threshold_,
)

NEVER_ADAPT = (0, 2**63 - 1)


@dataclass(frozen=True)
class SparseParam:
    """One sparse parameter as a rule sees it."""

    name: str
    weight: nn.Parameter
    mask: Tensor
    """bool, the weight's shape: True where active."""
    state: dict[str, Tensor]
    """The optimizer's tensors for this weight, such as ``momentum_buffer``; empty before a step."""

    @property
    def shape(self) -> torch.Size:
        return self.weight.shape

    @property
    def grad(self) -> Tensor | None:
        return self.weight.grad


class Pruned(NamedTuple):
    """What a prune rule returns: int64 [layers] each."""

    pruned: Tensor
    surviving: Tensor
    nonfinite: Tensor


@dataclass
class Reallocation:
    """One reallocation under way: what rules read and change."""

    weights: Sequence[Tensor]
    mask: BitMask
    previous: BitMask
    active: Tensor
    threshold: Tensor
    number: Tensor
    seed: int
    step: int
    total_steps: int | None
    zero_pruned: bool
    views: Callable[[], list[SparseParam]]
    counts: Pruned | None = None

    @property
    def pruned(self) -> Tensor:
        """Units pruned of each layer, int64 [layers]; known once the prune rule has run."""
        return self._counts().pruned

    @property
    def surviving(self) -> Tensor:
        """Units of each layer that pruning left active, int64 [layers]."""
        return self._counts().surviving

    def params(self) -> list[SparseParam]:
        """The layers as rules of one's own see them; built-in rules work on all at once."""
        return self.views()

    def _counts(self) -> Pruned:
        if self.counts is None:
            raise RuntimeError("pruned and surviving counts are known after the prune rule only")
        return self.counts


class PruneRule(Protocol):
    def apply(self, reallocation: Reallocation) -> Pruned: ...


class RedistributeRule(Protocol):
    def shares(self, reallocation: Reallocation) -> Tensor: ...


class GrowRule(Protocol):
    def apply(self, reallocation: Reallocation, counts: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Rules:
    """What one reallocation does.

    Args:
        prune: chooses and deactivates units.
        grow: activates as many elsewhere.
        redistribute: how the growth is split over the layers; None: each layer regrows its own.
        adapt: the threshold doubles when fewer units than ``adapt[0]`` were pruned in all and
            halves when more than ``adapt[1]`` were.
        initial_threshold: the threshold before the first reallocation.
        regrow_pruned: whether what was just pruned may grow back at once, with its value.
        keep_state: leave the optimizer's state at changed units as it is.
        dense_gradient: when gradients of inactive weights are left in place: never, in the step
            that a reallocation follows ("due"), or always.
        dense_state: the optimizer's state of inactive weights lives on and is never cleared.
    """

    prune: PruneRule
    grow: GrowRule
    redistribute: RedistributeRule | None = None
    adapt: tuple[int, int] = NEVER_ADAPT
    initial_threshold: float | None = None
    regrow_pruned: bool = False
    keep_state: bool = False
    dense_gradient: Literal["never", "due", "always"] = "never"
    dense_state: bool = False


class Prune(ABC):
    """Base for a prune rule of one's own."""

    @abstractmethod
    def select(self, param: SparseParam) -> Tensor:
        """bool, the weight's shape: True for each weight to prune; inactive ones do not count.

        A layer that would lose every weight keeps its first.
        """

    def apply(self, reallocation: Reallocation) -> Pruned:
        keeps = []
        for param, weight in zip(reallocation.params(), reallocation.weights, strict=True):
            chosen = _checked(self.select(param), param, torch.bool, "Prune.select")
            keeps.append(torch.empty_like(weight, dtype=torch.float32).copy_(~chosen))
        half = torch.full((1,), 0.5, device=reallocation.mask.device)
        pruned, surviving, _ = prune_threshold_(keeps, reallocation.mask, half, zero=False)
        if reallocation.zero_pruned:
            apply_mask_(reallocation.weights, reallocation.mask)
        return Pruned(pruned, surviving, torch.zeros_like(pruned))


class Redistribute(ABC):
    """Base for a redistribution rule of one's own."""

    @abstractmethod
    def shares(self, reallocation: Reallocation) -> Tensor:
        """int64 [layers], each at least 0: growth is split in proportion to these."""


class Grow(ABC):
    """Base for a growth rule of one's own."""

    @abstractmethod
    def score(self, param: SparseParam) -> Tensor:
        """Floating, the weight's shape: free weights of largest magnitude grow first."""

    def apply(self, reallocation: Reallocation, counts: Tensor) -> Tensor:
        scores = []
        for param, weight in zip(reallocation.params(), reallocation.weights, strict=True):
            score = _checked(self.score(param), param, None, "Grow.score")
            scores.append(torch.empty_like(weight, dtype=torch.float32).copy_(score))
        return grow_largest_(reallocation.mask, reallocation.previous, scores, counts)


class BelowThreshold:
    """Prune every weight of magnitude below the adaptive global threshold (DSR, section 3)."""

    def apply(self, reallocation: Reallocation) -> Pruned:
        r = reallocation
        return Pruned(*prune_threshold_(r.weights, r.mask, r.threshold, zero=r.zero_pruned))


@dataclass(frozen=True)
class SmallestFraction:
    """Prune the given fraction of each layer's active weights, smallest magnitude first (SET)."""

    fraction: float

    def apply(self, reallocation: Reallocation) -> Pruned:
        r = reallocation
        count = fraction_of(r.active, self.fraction)
        return Pruned(*prune_smallest_(r.weights, r.mask, count, zero=r.zero_pruned))


class BySurvivors:
    """Split growth by the number of weights that pruning left in each layer (DSR, Algorithm 1)."""

    def shares(self, reallocation: Reallocation) -> Tensor:
        return reallocation.surviving


class RandomGrowth:
    """Grow free units drawn uniformly, by counter-based random numbers."""

    def apply(self, reallocation: Reallocation, counts: Tensor) -> Tensor:
        r = reallocation
        return grow_random_(r.mask, r.previous, counts, seed=r.seed, reallocation=r.number)


def _checked(value: Tensor, param: SparseParam, dtype: torch.dtype | None, who: str) -> Tensor:
    if not isinstance(value, Tensor) or value.shape != param.shape:
        got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{who}({param.name}): expected shape {list(param.shape)}, got {got}")
    if (dtype is not None and value.dtype != dtype) or (
        dtype is None and not value.is_floating_point()
    ):
        raise TypeError(f"{who}({param.name}): expected {dtype or 'floats'}, got {value.dtype}")
    return value.detach()
