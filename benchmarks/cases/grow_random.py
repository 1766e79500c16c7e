"""grow_random_: grow at random as many weights as were pruned."""

from __future__ import annotations

from collections.abc import Callable

import torch

import dsr_kernels
from benchmarks.baselines import authors, grow
from benchmarks.case import Case, Provider, Target
from benchmarks.checks import check_grown
from benchmarks.inputs import Problem
from benchmarks.ours import ours
from benchmarks.shapes import Net

TARGETS = (Target("eager", 5),)


def moved_bytes(net: Net) -> int:
    """Two masks in, one out."""
    return 3 * (net.weights // 8)


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside the authors' way, nonzero and randperm, rand and topk, and rejection sampling."""
    p = Problem(net, sparsity, device, pruned=True)
    growth, number = p.growth, torch.ones(1, dtype=torch.int64, device=device)
    flags, occupied, counts = p.layers(p.flags), p.layers(p.before), growth.tolist()
    free, flat = p.units - p.active, grow.FlatRejection(p.sizes, device)
    static = grow.NonzeroStatic(free.tolist())

    def run() -> object:
        return dsr_kernels.grow_random_(p.mask, p.previous, growth, seed=0, reallocation=number)

    def eager(name: str, run: Callable[[], object]) -> Provider:
        def check(result: object) -> None:
            check_grown(p, p.flags, growth)

        return Provider(name, "eager", run, p.restoring("flags"), check)

    providers = [
        *ours(
            device,
            ["grow_random_"],
            run,
            p.restoring("mask"),
            lambda result: check_grown(p, p.mask_flags(), growth),
        ),
        _authors(p, unique=False),
        _authors(p, unique=True),
        eager("nonzero + randperm", lambda: grow.nonzero_randperm(occupied, flags, counts)),
        eager("nonzero_static + randperm", lambda: static.grow(occupied, flags, counts)),
        eager("rand + topk", lambda: grow.rand_topk(occupied, flags, counts)),
        eager("rejection", lambda: grow.rejection(occupied, flags, counts)),
        eager("rejection, one buffer", lambda: flat.grow(p.before, p.flags, growth, free)),
    ]
    return p.case("grow_random_", moved_bytes(net), providers)


def _authors(p: Problem, *, unique: bool) -> Provider:
    floats = p.flags.float()
    masks, start, counts = p.layers(floats), floats.clone(), p.growth.tolist()
    pruned = [gone.nonzero().view(-1) for gone in p.layers(p.before & ~p.kept)]

    def run() -> None:
        for mask, gone, count in zip(masks, pruned, counts, strict=True):
            authors.grow_random(mask, gone, count, unique=unique)

    def restore() -> None:
        floats.copy_(start)

    def check(result: object) -> None:
        check_grown(p, floats.bool(), p.growth)

    name = authors_name(unique)
    return Provider(name, "authors", run, restore, check, authors.MOST_WEIGHTS)


def authors_name(unique: bool) -> str:
    return "authors' way, places known unique" if unique else "authors' way"
