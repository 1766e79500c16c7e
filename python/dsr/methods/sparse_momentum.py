"""Sparse momentum: momentum says which layers and which weights grow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dsr.methods.base import (
    DynamicMethod,
    check_bool,
    check_choice,
    check_number,
    register_method,
)
from dsr.methods.protocol import Grow, Pruned, Reallocation, Rules, SparseParam
from dsr.methods.rules import BySurvivors, RandomGrowth, SmallestFraction
from dsr.methods.schedules import DECAYS, Decay
from dsr_kernels import allocate_growth, layer_mean, prune_smallest_

REDISTRIBUTIONS = ("momentum", "magnitude", "nonzeros", "none")
GROWTHS = ("momentum", "random")
UNLIMITED = 3_000_000_000
NEEDS = "sparse momentum needs an optimizer with momentum (SGD with momentum > 0, Adam, AdamW)"


@register_method("sparse-momentum")
@dataclass(frozen=True)
class SparseMomentum(DynamicMethod):
    """Sparse momentum: prune by magnitude, redistribute and grow by momentum.

    Source: Dettmers and Zettlemoyer, "Sparse networks from scratch: faster training without losing
    performance", 2019, and their code.

    Every ``period`` steps each layer loses a fraction of its smallest weights; the same number in
    all grows, split by the layers' mean momentum of active weights before pruning, at the weights
    of largest momentum. The optimizer must have momentum (SGD) or moments (Adam: m / sqrt(v)). Its
    state stays dense: gradients of inactive weights are never zeroed, which is how a weight that
    is not there gathers momentum; so this method saves no optimizer memory.

    Args:
        sparsity: fraction of zeros over the sparse layers, in [0, 1). The paper's fully sparse
            setting includes every weight: ``include="*"``; its partially dense one excludes the
            first convolution, the shortcuts and (CIFAR) the classifier.
        l1: coefficient of the L1 term in ``sparse.penalty()``.
        period: steps between reallocations; the paper's is one epoch. None: as for DSR.
        stop: fraction of training after which nothing moves; the code moves after every epoch but
            the last.
        prune_fraction: fraction of each layer's active weights pruned at the start; the paper's
            0.2 (its command line has 0.5).
        decay: how that fraction falls to 0 at the end: "cosine" or "linear" (the paper compares
            both; the code's cosine ends at 0.005), or "constant".
        redistribution: "momentum", or of the ablation: "magnitude" (mean |w|), "nonzeros" (active
            weights) or "none" (each layer regrows its own).
        growth: "momentum", or of the ablation: "random".
        clear_grown: clear the momentum of a weight when it grows. False, as in the code, whose
            authors found no effect of it: a grown weight moves at once by all the momentum that it
            gathered while inactive, which can be huge behind batch normalisation where a unit has
            lost all its inputs (docs/experiments.md).

    Edge rules: a layer of sparsity below 0.2 whose share is above average prunes at most its
    sparsity's fraction; growth that exceeds a layer's places is split equally over the others
    (the code leaves 1 % of each layer free, which is not copied). The code's counts are rounded up
    and drift from the budget until corrected; here they are exact.
    """

    stop: float | None = None
    prune_fraction: float = 0.2
    decay: str = "cosine"
    redistribution: str = "momentum"
    growth: str = "momentum"
    clear_grown: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "prune_fraction", low=0, high=1)
        check_choice(self, "decay", DECAYS)
        check_choice(self, "redistribution", REDISTRIBUTIONS)
        check_choice(self, "growth", GROWTHS)
        check_bool(self, "clear_grown")

    @property
    def needs_total_steps(self) -> bool:
        return super().needs_total_steps or self.decay != "constant"

    def check_optimizer(self, optimizer: torch.optim.Optimizer, weights: Sequence[Tensor]) -> None:
        """Of torch's own, those without momentum; what others keep shows when they have stepped."""
        if "momentum" not in (self.growth, self.redistribution):
            return
        if not type(optimizer).__module__.startswith("torch.optim"):
            return
        sparse = set(map(id, weights))
        for group in optimizer.param_groups:
            without = not group.get("momentum") and "betas" not in group
            if without and any(id(parameter) in sparse for parameter in group["params"]):
                raise ValueError(f"optimizer: {NEEDS}, got {type(optimizer).__name__} without")

    def rules(self, budget: int) -> Rules:
        fraction = Decay(self.prune_fraction, self.decay, until=self.stop or 1.0)
        split = None if self.redistribution == "none" else EqualExcess(self.redistribution)
        return Rules(
            prune=SmallestFraction(fraction) if split is None else SparedLayers(fraction, split),
            grow=LargestMomentum() if self.growth == "momentum" else RandomGrowth(),
            redistribute=split,
            regrow_pruned=True,
            dense_gradient="always",
            dense_state=True,
            clear_grown=self.clear_grown,
        )


def momentum_of(param: SparseParam) -> Tensor:
    """The optimizer's momentum: SGD's buffer, or Adam's m / (sqrt(v) + 1e-8).

    It is 0 where no loss has reached the layer yet, of which optimizers keep no state.
    """
    if not param.state and param.grad is None:
        return torch.zeros_like(param.weight)
    if "momentum_buffer" in param.state:
        return param.state["momentum_buffer"]
    if "exp_avg" in param.state and "exp_avg_sq" in param.state:
        return param.state["exp_avg"] / (param.state["exp_avg_sq"].sqrt() + 1e-8)
    raise RuntimeError(f"{param.name}: {NEEDS}; its state has {sorted(param.state) or 'nothing'}")


class LargestMomentum(Grow):
    """Grow the free weights of largest momentum."""

    def score(self, param: SparseParam) -> Tensor:
        return momentum_of(param)


class EqualExcess(BySurvivors):
    """Split growth by a mean over active weights; what exceeds a layer is split equally."""

    def __init__(self, measure: str) -> None:
        self.measure = measure
        self._shares: Tensor | None = None

    def remember(self, reallocation: Reallocation) -> Tensor:
        """Take the shares now, before anything is pruned."""
        r = reallocation
        if self.measure == "nonzeros":
            self._shares = r.active.clone()
        elif self.measure == "magnitude":
            self._shares = layer_mean(r.weights, r.mask)
        else:
            momenta = [r.in_order(i, momentum_of(param)) for i, param in enumerate(r.params())]
            self._shares = layer_mean(momenta, r.mask)
        return self._shares

    def shares(self, reallocation: Reallocation) -> Tensor:
        return self.remember(reallocation) if self._shares is None else self._shares

    def split(self, reallocation: Reallocation) -> Tensor:
        r = reallocation
        wanted = allocate_growth(r.pruned, self.shares(r), torch.full_like(r.free, UNLIMITED))
        placed = torch.minimum(wanted, r.free)
        return placed + allocate_growth(wanted - placed, torch.ones_like(placed), r.free - placed)


@dataclass(frozen=True)
class SparedLayers:
    """Prune a fraction of each layer, less where a nearly dense layer matters more than most."""

    fraction: Decay
    importance: EqualExcess

    def apply(self, reallocation: Reallocation) -> Pruned:
        r = reallocation
        shares = self.importance.remember(r)
        inactive = r.units - r.active
        # ceil(sparsity * active), and the two conditions, in integers.
        at_most = (inactive * r.active + r.units - 1) // r.units.clamp(min=1)
        nearly_dense = 5 * inactive < r.units
        important = shares > shares.sum() // max(1, len(shares))
        count = SmallestFraction(self.fraction).count(r)
        count = torch.where(nearly_dense & important, torch.minimum(count, at_most), count)
        return Pruned(*prune_smallest_(r.weights, r.mask, count, zero=r.zero_pruned))
