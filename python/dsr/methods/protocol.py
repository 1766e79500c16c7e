"""What a rule is: the protocol that built-in rules and rules of one's own follow.

A rule of your own derives from :class:`Prune`, :class:`Redistribute` or :class:`Grow` and answers
one question a layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from dsr.dormant import DormantValues
from dsr_kernels import (
    BitMask,
    allocate_growth,
    apply_mask_,
    grow_largest_,
    prune_threshold_,
)


class SparseParam:
    """One sparse parameter as a rule of one's own sees it.

    Attributes:
        name: its name in the model.
        weight: the parameter.
        state: the optimizer's tensors of the weight's shape, such as ``momentum_buffer``.
    """

    def __init__(
        self,
        name: str,
        weight: nn.Parameter,
        state: dict[str, Tensor],
        make_mask: Callable[[], Tensor],
    ) -> None:
        self.name, self.weight, self.state = name, weight, state
        self._make_mask = make_mask

    @property
    def mask(self) -> Tensor:
        """bool, the weight's shape: True where active now."""
        return self._make_mask()

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


class Signs(NamedTuple):
    """The units whose weights were above and below 0 before the step."""

    positive: BitMask
    negative: BitMask


@dataclass(frozen=True)
class ComingStep:
    """An optimizer step that is about to happen: what a rule may do to its gradients.

    Attributes:
        weights: the sparse parameters, all of them.
        gradients: those there are, in their weights' memory order; ``layers`` says whose.
        gradient_scale: what a fused optimizer will divide the gradients by (GradScaler), a tensor
            of one number; None: nothing.
        signs: masks to note the weights' signs in, for the reallocation after the step.
        step: its number; 1 is the first.
    """

    weights: Sequence[Tensor]
    gradients: Sequence[Tensor]
    layers: Sequence[int]
    gradient_scale: Tensor | None
    mask: BitMask
    signs: Signs
    seed: int
    step: int
    total_steps: int | None


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
    adapt: tuple[int, int] | None
    zero_pruned: bool
    previous_holds_pruned: bool
    views: Callable[[], list[SparseParam]]
    learning_rates: Callable[[], list[float | Tensor]]
    signs: Signs | None = None
    dormant: DormantValues | None = None
    counts: Pruned | None = None

    @property
    def units(self) -> Tensor:
        """Units of each layer, int64 [layers]."""
        table = self.mask.table
        return table[:, 0] * table[:, 2]

    @property
    def free(self) -> Tensor:
        """Places of each layer that may grow, int64 [layers]: inactive in ``previous``."""
        return self.units - (self.active if self.previous_holds_pruned else self.surviving)

    @property
    def pruned(self) -> Tensor:
        """Units pruned of each layer, int64 [layers]; known once the prune rule has run."""
        return self._counts().pruned

    @property
    def surviving(self) -> Tensor:
        """Units of each layer that pruning left active, int64 [layers]."""
        return self._counts().surviving

    def in_order(self, layer: int, values: Tensor) -> Tensor:
        """``values`` of a weight's shape in its memory order, as ops take them."""
        return _like(self.weights[layer], values)

    def params(self) -> list[SparseParam]:
        """The layers as rules of one's own see them; built-in rules work on all at once."""
        return self.views()

    def _counts(self) -> Pruned:
        if self.counts is None:
            raise RuntimeError("pruned and surviving counts are known after the prune rule only")
        return self.counts


class StepRule(Protocol):
    def apply(self, coming: ComingStep) -> None: ...


class PruneRule(Protocol):
    def apply(self, reallocation: Reallocation) -> Pruned: ...


class RedistributeRule(Protocol):
    def split(self, reallocation: Reallocation) -> Tensor: ...


class GrowRule(Protocol):
    def apply(self, reallocation: Reallocation, counts: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Rules:
    """What one reallocation does.

    Args:
        prune: chooses and deactivates units.
        grow: activates as many elsewhere; None: nothing grows and the budget shrinks.
        redistribute: how the growth is split over the layers; None: each layer regrows its own.
        adapt: for a method with a threshold: it doubles when fewer units than ``adapt[0]`` were
            pruned in all and halves when more than ``adapt[1]`` were.
        initial_threshold: the threshold before the first reallocation.
        regrow_pruned: whether what was just pruned may grow back at once, with its value.
        keep_state: leave the optimizer's state at changed units as it is.
        dense_gradient: when gradients of inactive weights are left in place: never, in the step
            that a reallocation follows ("due"), or always.
        dense_state: the optimizer's state of inactive weights lives on and is never cleared.
        clear_grown: with ``dense_state``: clear the state of units that have just grown.
        before_step: changes the gradients before each optimizer step that is not skipped.
        dormant_start: for a method whose inactive units have values of their own, kept outside of
            the weights: the standard deviation of those it starts with.
    """

    prune: PruneRule
    grow: GrowRule | None
    redistribute: RedistributeRule | None = None
    adapt: tuple[int, int] | None = None
    initial_threshold: float = 0.0
    regrow_pruned: bool = False
    keep_state: bool = False
    dense_gradient: Literal["never", "due", "always"] = "never"
    dense_state: bool = False
    clear_grown: bool = False
    before_step: StepRule | None = None
    dormant_start: float | None = None


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
            chosen = _checked(_ask(self.select, param), param, torch.bool, "Prune.select")
            keeps.append(_like(weight, (~chosen).float()))
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

    def split(self, reallocation: Reallocation) -> Tensor:
        """Units to grow in each layer, int64 [layers]; adapts the threshold if there is one."""
        r = reallocation
        shares = self.shares(r)
        if r.adapt is None:
            return allocate_growth(r.pruned, shares, r.free)
        lower, upper = r.adapt
        return allocate_growth(
            r.pruned, shares, r.free, threshold=r.threshold, lower=lower, upper=upper
        )


class Grow(ABC):
    """Base for a growth rule of one's own."""

    @abstractmethod
    def score(self, param: SparseParam) -> Tensor:
        """Floating, the weight's shape: free weights of largest magnitude grow first."""

    def apply(self, reallocation: Reallocation, counts: Tensor) -> Tensor:
        scores = []
        for param, weight in zip(reallocation.params(), reallocation.weights, strict=True):
            score = _checked(_ask(self.score, param), param, None, "Grow.score")
            scores.append(_like(weight, score))
        return grow_largest_(reallocation.mask, reallocation.previous, scores, counts)


def _ask(question: Callable[[SparseParam], Tensor], param: SparseParam) -> Tensor:
    """A rule's answer; an error from within it is told which layer was asked about."""
    try:
        return question(param)
    except Exception as error:
        if hasattr(error, "add_note"):  # Python 3.11
            error.add_note(f"raised by {question.__qualname__}({param.name})")
        raise


def _like(weight: Tensor, values: Tensor) -> Tensor:
    """``values`` in the weight's memory order; themselves where they lie so already."""
    if values.stride() == weight.stride() and values.dtype in (weight.dtype, torch.float32):
        return values
    return torch.empty_like(weight, dtype=torch.float32).copy_(values)


def _checked(value: Tensor, param: SparseParam, dtype: torch.dtype | None, who: str) -> Tensor:
    if not isinstance(value, Tensor) or value.shape != param.shape:
        got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{who}({param.name}): expected shape {list(param.shape)}, got {got}")
    if (dtype is not None and value.dtype != dtype) or (
        dtype is None and not value.is_floating_point()
    ):
        raise TypeError(f"{who}({param.name}): expected {dtype or 'floats'}, got {value.dtype}")
    return value.detach()
