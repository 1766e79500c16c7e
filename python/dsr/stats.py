"""What a sparse network looks like at one moment of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsr.sparsifier import Sparsifier


@dataclass(frozen=True)
class LayerStats:
    """One sparse layer: its name, shape, units in all, active units and sparsity in [0, 1].

    A unit is a weight, or with granularity "kernel" a kernel slice of a convolution.
    """

    name: str
    shape: tuple[int, ...]
    units: int
    active: int

    @property
    def sparsity(self) -> float:
        return 1 - self.active / self.units if self.units else 0.0


@dataclass(frozen=True)
class Stats:
    """A copy on the host of everything the method keeps on the device.

    Args:
        step: optimizer steps that changed weights.
        reallocations: how often units moved.
        budget: active units that the method promises, None where it promises none; ``active``
            are those counted.
        threshold: H of DSR, or None for a method without one.
        pruned, grown: units moved by the last reallocation.
        total_pruned, total_grown: units moved since the start.
        churn: fraction of the active units that the last reallocation pruned, in [0, 1].
        explored: fraction of all units that were active at the start or after some reallocation.
    """

    step: int
    reallocations: int
    budget: int | None
    active: int
    threshold: float | None
    pruned: int
    grown: int
    total_pruned: int
    total_grown: int
    churn: float
    explored: float
    layers: tuple[LayerStats, ...]

    @property
    def sparsity(self) -> float:
        """Fraction of inactive units over the sparse layers."""
        units = sum(layer.units for layer in self.layers)
        return 1 - self.active / units if units else 0.0


def collect(sparse: Sparsifier) -> Stats:
    """Copy what a sparsifier keeps on the device to the host."""
    storage, state, rules = sparse._storage, sparse._state, sparse._rules
    active = storage.mask.counts().tolist()
    pruned, grown, total_pruned, total_grown = state.moved.sum(1).tolist()
    layers = tuple(
        LayerStats(place.name, tuple(place.parameter.shape), shape.units, count)
        for place, shape, count in zip(storage.places, storage.layout.layers, active, strict=True)
    )
    has_threshold = rules is not None and rules.adapt is not None
    return Stats(
        step=sparse.step,
        reallocations=int(state.number),
        budget=sparse.budget,
        active=sum(active),
        threshold=float(state.threshold) if has_threshold else None,
        pruned=pruned,
        grown=grown,
        total_pruned=total_pruned,
        total_grown=total_grown,
        churn=pruned / max(1, sum(active) - grown + pruned),
        explored=int(state.ever.counts().sum()) / max(1, storage.layout.units),
        layers=layers,
    )
