"""DSR: dynamic sparse reparameterization."""

from __future__ import annotations

from dataclasses import dataclass

from dsr.methods.base import (
    GRANULARITIES,
    DynamicMethod,
    check_choice,
    check_integer,
    check_number,
    register_method,
)
from dsr.methods.protocol import Rules
from dsr.methods.rules import (
    BelowThreshold,
    BySurvivors,
    RandomGrowth,
    RandomNormalGrowth,
    SmallestOverall,
)
from dsr_kernels import tolerance_bounds


@register_method("dsr")
@dataclass(frozen=True)
class DSR(DynamicMethod):
    """Dynamic sparse reparameterization: adaptive global threshold, random growth by survivors.

    Source: Mostafa and Wang, "Parameter efficient training of deep convolutional neural networks
    by dynamic sparse reparameterization", 2019, Algorithm 1 and appendix A.

    Every ``period`` steps the active weights of magnitude below a global threshold H are pruned
    and the same number grows, at zero, at random places of the layers, split in proportion to the
    weights each layer has left. H then halves if more than ``(1 + tolerance)`` times the target
    was pruned and doubles if less than ``(1 - tolerance)`` times.

    Args:
        sparsity: fraction of zeros over the sparse layers, in [0, 1).
        l1: coefficient of the L1 term in ``sparse.penalty()``; the paper takes 1e-4 for
            LeNet-300-100 and 0 for its convolutional networks.
        period: steps between reallocations; None: the paper's 100, 200, 400, 800 in the four
            quarters of training, shortened for training below 5,000 steps.
        stop: fraction of training after which nothing moves; the authors' code has 0.95, the
            paper does not mention it. None: never.
        prune_count: the target N_p, in weights a reallocation; the paper takes 600, 20,000 and
            200,000 (its code 400,000 for ResNet-50). None: ``prune_fraction`` of the budget. With
            granularity "kernel" it counts kernels: 2,000 for WRN-28-2, 40,000 for ResNet-50.
        prune_fraction: the target as a fraction of the active weights, where ``prune_count`` is
            None.
        tolerance: delta, how far the number pruned may stray before H moves; the paper's 0.1.
        initial_threshold: H before the first reallocation; the paper's 1e-3.
        exact: prune exactly the target, the smallest magnitudes over all layers, in place of the
            threshold; not in the paper.
        keep_state: leave the optimizer's state at pruned and grown weights, as the authors' code
            does, where the default clears it.
        granularity: "element", or the paper's appendix E: "kernel" prunes and grows whole kernel
            slices [out, in] of convolutions, by their mean magnitude; the weights of Linear
            layers one by one as before. The budget and every count are then of such units.
        big_new_weights: grown weights start at random normal values of the size that a dense
            layer starts with (sqrt(2 / (out kh kw)) for convolutions, 1 / sqrt(in) for Linear),
            as with that flag of the authors' code, where they otherwise start at 0.

    Where paper and code differ: the paper adapts H before growth, the code after it; with the
    count just pruned both give the same H. The authors restart H at 1e-3 on resume; here it is
    saved. They hand a rounding difference to one random layer; here the split is by largest
    remainder.
    """

    prune_count: int | None = None
    prune_fraction: float = 0.02
    tolerance: float = 0.1
    initial_threshold: float = 1e-3
    exact: bool = False
    keep_state: bool = False
    granularity: str = "element"  # type: ignore[misc]
    big_new_weights: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prune_count is not None:
            check_integer(self, "prune_count", low=1)
        check_number(self, "prune_fraction", low=0, high=1)
        check_number(self, "tolerance", low=0, below=1)
        check_number(self, "initial_threshold", low=2.0**-126, high=2.0**126)
        check_choice(self, "granularity", GRANULARITIES)

    def rules(self, budget: int) -> Rules:
        target = self.prune_count or max(1, round(budget * self.prune_fraction))
        grow = RandomNormalGrowth() if self.big_new_weights else RandomGrowth()
        if self.exact:
            return Rules(
                prune=SmallestOverall(target),
                grow=grow,
                redistribute=BySurvivors(),
                keep_state=self.keep_state,
            )
        return Rules(
            prune=BelowThreshold(),
            grow=grow,
            redistribute=BySurvivors(),
            adapt=tolerance_bounds(target, self.tolerance),
            initial_threshold=self.initial_threshold,
            keep_state=self.keep_state,
        )
