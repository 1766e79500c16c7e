"""What one benchmark is: the work, every way to do it, and how a wrong result is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

# The copy is the speed limit; dense is what a dense network pays at the same place.
KINDS = ("ours", "authors", "eager", "compiled", "dense", "copy")


class WrongResultError(Exception):
    """A provider did not do the work; it is not timed."""


@dataclass(frozen=True)
class Provider:
    """One way to do a case's work.

    Attributes:
        name: unique in its case.
        kind: one of ``KINDS``.
        run: what is timed.
        restore: puts back what ``run`` changed, untimed; None: ``run`` can be repeated as it is.
        check: takes what ``run`` returned and raises ``WrongResultError`` if the work was not
            done; None: nothing to check.
        most_weights: of a net on which it is timed; None: on any.
    """

    name: str
    kind: str
    run: Callable[[], object]
    restore: Callable[[], None] | None = None
    check: Callable[[object], None] | None = None
    most_weights: int | None = None


@dataclass(frozen=True)
class Target:
    """How many times faster ours is to be than a kind (its fastest) or one provider."""

    against: str
    factor: float


@dataclass(frozen=True)
class Case:
    """One op on one net.

    Attributes:
        op: the op, or the name of a sequence of ops.
        net: a name in ``benchmarks.shapes.NETS``.
        sparsity: of the net's masks.
        moved_bytes: what the op has to read and write at least; 0: too little to count.
        copied_bytes: of the weights that the provider ``copy`` copies.
        providers: the first is ours.
        dtype: of the weights.
        on_device: whether all the work is the device's, so that a CUDA graph may hold it.
    """

    op: str
    net: str
    sparsity: float
    moved_bytes: int
    copied_bytes: int
    providers: tuple[Provider, ...]
    dtype: torch.dtype = torch.float32
    on_device: bool = True

    @property
    def weights(self) -> int:
        return self.copied_bytes // self.dtype.itemsize


def require(condition: object, text: str) -> None:
    """Raise ``WrongResultError`` unless ``condition`` holds."""
    if not condition:
        raise WrongResultError(text)
