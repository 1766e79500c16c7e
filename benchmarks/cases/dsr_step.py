"""dsr_step: a whole reallocation of DSR: prune, adapt and split, grow, clear momentum."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import dsr_kernels
from benchmarks.baselines import authors, step
from benchmarks.case import Case, Provider, Target
from benchmarks.cases import grow_random, prune_threshold
from benchmarks.checks import check_grown, check_zeros
from benchmarks.inputs import Problem
from benchmarks.ours import ours
from benchmarks.shapes import Net

TARGETS = (Target("authors", 50), Target("eager", 5), Target("eager", 8))
OPS = ("prune_threshold_", "allocate_growth", "grow_random_", "reset_state_")


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside the authors' way, which leaves momentum alone, three eager steps, a compiled one."""
    p = Problem(net, sparsity, device)
    bounds = dsr_kernels.tolerance_bounds(net.moved, 0.1)
    masks, flat = step.MaskStep(p, *bounds), step.FlatStep(p, *bounds)
    listed, compiled = step.IndexStep(p, *bounds), step.CompiledStep(p, *bounds)
    restore = p.restoring("weights", "momentum", "flags")

    def restore_listed() -> None:
        restore()
        listed.restore()

    def eager(
        name: str, run: Callable[[], None], restore: Callable[[], None], kind: str = "eager"
    ) -> Provider:
        return Provider(name, kind, run, restore, lambda result: _check(p, p.flags))

    providers = [
        *_ours(p, *bounds),
        _authors(p, unique=False),
        _authors(p, unique=True),
        eager("masks, nonzero + randperm", masks.run, restore),
        eager("hardshrink, rejection, one buffer", flat.run, restore),
        eager("list of active indices, rejection", listed.run, restore_listed),
        eager("torch.compile of masks, rejection", compiled.run, restore, "compiled"),
    ]
    pruned = prune_threshold.LINE_BYTES * net.moved  # of momentum
    moved = prune_threshold.moved_bytes(net) + grow_random.moved_bytes(net) + pruned
    return p.case("dsr_step", moved, providers)


def _ours(p: Problem, lower: int, upper: int) -> list[Provider]:
    weights, momentum = p.layers(p.weights), p.layers(p.momentum)
    number, active, units = torch.ones(1, dtype=torch.int64, device=p.device), p.active, p.units

    def run() -> object:
        p.previous.words.copy_(p.mask.words)
        pruned, surviving, _ = dsr_kernels.prune_threshold_(weights, p.mask, p.threshold)
        growth = dsr_kernels.allocate_growth(
            pruned,
            surviving,
            units - active,
            threshold=p.threshold,
            lower=lower,
            upper=upper,
        )
        grown = dsr_kernels.grow_random_(p.mask, p.previous, growth, seed=0, reallocation=number)
        dsr_kernels.reset_state_(momentum, p.mask, p.previous)
        return surviving + grown

    restore = p.restoring("weights", "momentum", "mask", "threshold")
    return ours(p.device, OPS, run, restore, lambda result: _check(p, p.mask_flags()))


def _authors(p: Problem, *, unique: bool) -> Provider:
    floats, restore_weights = p.flags.float(), p.restoring("weights")
    weights, masks, start = p.layers(p.weights), p.layers(floats), floats.clone()

    def restore() -> None:
        restore_weights()
        floats.copy_(start)

    def check(result: object) -> None:
        check_grown(p, floats.bool(), counts=None)
        check_zeros(p.weights, p.kept, "weights")

    return Provider(
        grow_random.authors_name(unique),
        "authors",
        lambda: authors.reallocate(weights, masks, p.h, p.net.moved, unique=unique),
        restore,
        check,
        authors.MOST_WEIGHTS,
    )


def _check(p: Problem, flags: Tensor) -> None:
    check_grown(p, flags, p.growth)
    check_zeros(p.weights, p.kept, "weights")
    check_zeros(p.momentum, p.kept, "momentum")
