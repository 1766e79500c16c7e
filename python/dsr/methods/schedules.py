"""Values that change over training. Everything is counted in optimizer steps."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Generic, TypeVar

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Stepwise(Generic[Number]):
    """``values[i]`` from fraction ``starts[i]`` of training on; ``starts[0]`` is 0.

    Example:
        >>> Stepwise((100, 200), (0.0, 0.5)).at(step=60, total_steps=100)
        200
    """

    values: tuple[Number, ...]
    starts: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.starts) or not self.values:
            raise ValueError(
                f"values, starts: expected equal lengths above 0, got {len(self.values)} and "
                f"{len(self.starts)}"
            )
        if self.starts[0] != 0 or list(self.starts) != sorted(set(self.starts)):
            raise ValueError(f"starts: expected rising fractions from 0, got {self.starts}")

    def at(self, step: int, total_steps: int) -> Number:
        """The value in force at ``step`` (1 is the first) of ``total_steps``."""
        return self.values[bisect_right(self.starts, (step - 1) / total_steps) - 1]


@dataclass(frozen=True)
class Decay:
    """A fraction that falls from ``start`` to ``end`` at fraction ``until`` of training.

    Args:
        start: value before the first step.
        kind: "cosine", "linear", or "constant".
        end: value from ``until`` on; the same as ``start`` where constant.
        until: fraction of training, in (0, 1].
    """

    start: float
    kind: str = "cosine"
    end: float = 0.0
    until: float = 1.0

    def at(self, step: int, total_steps: int | None) -> float:
        """The value after ``step`` of ``total_steps`` steps."""
        if self.kind == "constant":
            return self.start
        if total_steps is None:
            raise ValueError(f"total_steps: needed by a {self.kind} decay")
        done = min(1.0, step / (self.until * total_steps))
        left = (1 + math.cos(math.pi * done)) / 2 if self.kind == "cosine" else 1 - done
        return self.end + (self.start - self.end) * left


DECAYS = ("cosine", "linear", "constant")
PAPER_STARTS = (0.0, 0.25, 0.5, 0.75)


def reallocation_periods(total_steps: int) -> Stepwise[int]:
    """The DSR paper's periods, shortened for short training.

    Every 100, 200, 400 and 800 steps in the four quarters of training (DSR paper, appendix table
    4, LeNet-300-100). The paper trains for tens of thousands of steps; where ``total_steps`` is
    below 5,000 the first period is a fiftieth of it instead.
    """
    first = min(100, max(1, total_steps // 50))
    return Stepwise(tuple(first * 2**i for i in range(4)), PAPER_STARTS)
