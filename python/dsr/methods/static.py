"""The baselines whose mask never changes: a random sparse one, and the dense network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsr.methods.base import (
    GRANULARITIES,
    Method,
    SparseMethod,
    check_choice,
    register_method,
)


@register_method("static")
@dataclass(frozen=True)
class Static(SparseMethod):
    """Static sparse: a random mask, drawn once and kept (DSR paper, section 3, baseline 3).

    The paper trains it for twice the epochs of DSR.

    Args:
        sparsity: fraction of zeros over the sparse layers, in [0, 1).
        l1: coefficient of the L1 term in ``sparse.penalty()``.
        granularity: "element", or "kernel" to mask whole kernel slices of convolutions, as for
            DSR.
    """

    granularity: str = "element"  # type: ignore[misc]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "granularity", GRANULARITIES)


@register_method("dense")
@dataclass(frozen=True)
class Dense(Method):
    """The dense network, through the same code path: every weight active, nothing moves.

    Args:
        l1: coefficient of the L1 term in ``sparse.penalty()``.
    """

    sparsity: ClassVar[float] = 0.0
