"""What a provider's work must have come to. Each raises ``WrongResultError``."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.case import require
from benchmarks.inputs import Problem

Counts = tuple[Tensor, Tensor]


def check_pruned(problem: Problem, flags: Tensor, counts: Counts | None = None) -> None:
    """The mask is the one that the threshold leaves, pruned weights are 0, counts are right."""
    require(torch.equal(flags, problem.kept), "the mask is not that of the threshold")
    check_zeros(problem.weights, problem.kept, "weights")
    if counts is not None:
        require(torch.equal(counts[0], problem.pruned), "the pruned counts are wrong")
        require(torch.equal(counts[1], problem.surviving), "the surviving counts are wrong")


def check_smallest(problem: Problem, flags: Tensor, counts: Tensor) -> None:
    """Each layer lost ``counts[i]`` active weights, none larger than one that stays."""
    lost = problem.counts(problem.before & ~flags)
    require(torch.equal(lost, counts), "a layer lost another number of weights")
    check_zeros(problem.weights, flags, "weights")
    start = problem.start("weights").abs()
    layers = (problem.layers(values) for values in (start, problem.before, flags))
    for magnitudes, before, after in zip(*layers, strict=True):
        gone, kept = magnitudes[before & ~after], magnitudes[after]
        if len(gone) and len(kept):
            require(gone.max() <= kept.min(), "a larger weight went before a smaller one")


def check_grown(problem: Problem, flags: Tensor, counts: Tensor | None) -> None:
    """Nothing was lost, only free places grew, ``counts[i]`` of them in layer i."""
    require(not (problem.kept & ~flags).any(), "an active weight was lost")
    grown = flags & ~problem.kept
    require(not (grown & problem.before).any(), "a place that was not free grew")
    if counts is None:  # the rounding is the provider's own
        require(int(grown.sum()) == int(problem.pruned.sum()), "another number grew than was lost")
    else:
        require(torch.equal(problem.counts(grown), counts), "a layer grew another number")


def check_zeros(values: Tensor, flags: Tensor, name: str) -> None:
    """``values`` are 0 wherever ``flags`` are False."""
    require(not values.masked_fill(flags, 0).any(), f"{name} are not 0 everywhere they must be")
