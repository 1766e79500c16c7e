"""Compressed sparse: gradual pruning of a dense network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import torch

from dsr.methods.base import (
    SparseMethod,
    check_choice,
    check_integer,
    check_number,
    register_method,
)
from dsr.methods.protocol import Pruned, Reallocation, Rules
from dsr_kernels import active_count, prune_smallest_

SCHEDULES = ("cubic", "geometric")


@register_method("compressed")
@dataclass(frozen=True)
class Compressed(SparseMethod):
    """Compressed sparse: train dense, prune by magnitude in steps, then fine-tune.

    Source: Zhu and Gupta, "To prune, or not to prune", 2017, as the DSR paper's baseline 4. Each
    layer is pruned to the same sparsity; the budget falls with the schedule and is exact at every
    step. To start from a trained dense network, load its weights before ``dsr.sparsify`` and set
    ``begin=0``.

    Args:
        sparsity: fraction of zeros in each sparse layer at the end, in [0, 1).
        l1: coefficient of the L1 term in ``sparse.penalty()``.
        begin: fraction of training before the first pruning.
        end: fraction of training by which the last pruning is done; the DSR authors leave 10 of
            48 epochs after it.
        iterations: prunings in between; the authors' 20 (10 for LeNet-300-100).
        schedule: "cubic": s (1 - (1 - k/n)^3) after pruning k of n, as for WRN-28-2;
            "geometric": 1 - (1 - s)^(k/n), as in the authors' code for ResNet-50.

    The authors prune the output layer of LeNet-300-100 to at most 0.9 and the others more; here
    every layer is pruned alike, and one that is excluded stays dense.
    """

    begin: float = 0.5
    end: float = 0.8
    iterations: int = 20
    schedule: str = "cubic"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "end", low=0, high=1)
        check_number(self, "begin", low=0, high=self.end)
        check_integer(self, "iterations", low=1)
        check_choice(self, "schedule", SCHEDULES)

    @property
    def needs_total_steps(self) -> bool:
        return True

    @property
    def initial_sparsity(self) -> float:
        return 0.0

    def due(self, step: int, total_steps: int | None) -> bool:
        return step in self.prune_steps(total_steps)

    def prune_steps(self, total_steps: int | None) -> tuple[int, ...]:
        """The steps after which pruning happens, ``iterations`` of them where there is room."""
        if total_steps is None:
            raise ValueError("total_steps: needed by Compressed")
        return _spread(self.begin, self.end, self.iterations, total_steps)

    def sparsity_at(self, step: int, total_steps: int | None) -> Fraction:
        """The sparsity that holds after ``step``."""
        done = sum(at <= step for at in self.prune_steps(total_steps))
        final = Fraction(str(self.sparsity))
        if done == self.iterations:
            return final
        if self.schedule == "cubic":
            return final * (1 - (1 - Fraction(done, self.iterations)) ** 3)
        return Fraction(1 - (1 - self.sparsity) ** (done / self.iterations))

    def budget_at(self, step: int, total_steps: int | None, units: Sequence[int]) -> int:
        sparsity = self.sparsity_at(step, total_steps)
        return sum(active_count(n, sparsity) for n in units)

    def rules(self, budget: int) -> Rules:
        return Rules(prune=ToSparsity(self), grow=None)


@dataclass(frozen=True)
class ToSparsity:
    """Prune each layer to the sparsity that its schedule says, smallest magnitude first."""

    method: Compressed

    def apply(self, reallocation: Reallocation) -> Pruned:
        r = reallocation
        sparsity = self.method.sparsity_at(r.step, r.total_steps)
        left = [active_count(shape.units, sparsity) for shape in r.mask.layout.layers]
        count = r.active - torch.tensor(left).to(r.active.device, non_blocking=True)
        return Pruned(*prune_smallest_(r.weights, r.mask, count, zero=r.zero_pruned))


@lru_cache
def _spread(begin: float, end: float, iterations: int, total_steps: int) -> tuple[int, ...]:
    first, last = Fraction(str(begin)), Fraction(str(end))
    share = (last - first) / max(1, iterations - 1)
    return tuple(max(1, int((first + share * k) * total_steps)) for k in range(iterations))
