"""SET: sparse evolutionary training."""

from __future__ import annotations

from dataclasses import dataclass

from dsr.methods.base import (
    GRANULARITIES,
    DynamicMethod,
    check_bool,
    check_choice,
    check_number,
    register_method,
)
from dsr.methods.protocol import Rules
from dsr.methods.rules import RandomGrowth, SmallestFraction, SmallestOfEachSign


@register_method("set")
@dataclass(frozen=True)
class SET(DynamicMethod):
    """Sparse evolutionary training: each layer swaps its smallest weights for random ones.

    Source: Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse
    connectivity inspired by network science", 2018; here by magnitude and on the period of DSR,
    as the DSR paper compares it (the original drops the smallest positive and the largest
    negative weights, ``two_sided``, once an epoch).

    Args:
        sparsity: fraction of zeros over the sparse layers, in [0, 1).
        l1: coefficient of the L1 term in ``sparse.penalty()``.
        period: steps between reallocations; None: as for DSR.
        stop: fraction of training after which nothing moves; None: never.
        prune_fraction: fraction of each layer's active weights moved in a reallocation, rounded
            up. The DSR authors take N_p over the number of active weights (0.02 here moves as
            many as DSR does by default); the original takes 0.3 an epoch.
        granularity: "element", or "kernel" to move whole kernel slices of convolutions, as for
            DSR.
        two_sided: prune as the original does: that fraction of the negative weights and that of
            the others, those nearest to 0; False: by magnitude, whatever the sign.
    """

    prune_fraction: float = 0.02
    granularity: str = "element"  # type: ignore[misc]
    two_sided: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "prune_fraction", low=0, high=1)
        check_choice(self, "granularity", GRANULARITIES)
        check_bool(self, "two_sided")
        if self.two_sided and self.granularity != "element":
            raise ValueError("two_sided: needs granularity 'element', a kernel slice has no sign")

    def rules(self, budget: int) -> Rules:
        rule = SmallestOfEachSign if self.two_sided else SmallestFraction
        return Rules(prune=rule(self.prune_fraction), grow=RandomGrowth())
