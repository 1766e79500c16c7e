"""RigL: growth where the gradient is largest."""

from __future__ import annotations

from dataclasses import dataclass

from dsr.methods.base import DynamicMethod, check_choice, check_number, register_method
from dsr.methods.protocol import Rules
from dsr.methods.rules import LargestGradient, SmallestFraction
from dsr.methods.schedules import DECAYS, Decay


@register_method("rigl")
@dataclass(frozen=True)
class RigL(DynamicMethod):
    """Rigged lottery: each layer swaps its smallest weights for those of largest gradient.

    Source: Evci et al., "Rigging the lottery: making all tickets winners", 2020, and its TensorFlow
    code. Its best results use ``distribution="erdos-renyi-kernel"``.

    The gradient is read after the optimizer's step, so it is the accumulated one, after DDP's
    reduction and after clipping. In the step before a reallocation the gradients of inactive
    weights are left in place for it; in all others they are zeroed.

    Args:
        sparsity: fraction of zeros over the sparse layers, in [0, 1).
        l1: coefficient of the L1 term in ``sparse.penalty()``.
        period: steps between reallocations; the paper's 100 for long training. None: as for DSR.
        stop: fraction of training after which nothing moves; the paper's 0.75.
        prune_fraction: fraction of each layer's active weights moved at the start; the paper's
            0.3.
        decay: how that fraction falls to 0 at ``stop``: "cosine" (the paper), "linear" or
            "constant" (the code's default).

    Where the code differs: it replaces the weight update by the mask update in such a step; here
    the optimizer steps first. A unit just pruned may grow back at once and then keeps its value
    and optimizer state, as in the code.
    """

    stop: float | None = 0.75
    prune_fraction: float = 0.3
    decay: str = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "prune_fraction", low=0, high=1)
        check_choice(self, "decay", DECAYS)

    @property
    def needs_total_steps(self) -> bool:
        return super().needs_total_steps or self.decay != "constant"

    def rules(self, budget: int) -> Rules:
        fraction = Decay(self.prune_fraction, self.decay, until=self.stop or 1.0)
        return Rules(
            prune=SmallestFraction(fraction),
            grow=LargestGradient(),
            regrow_pruned=True,
            dense_gradient="due",
        )
