"""grow_largest_: grow the free weights of largest gradient in each layer, as RigL does."""

from __future__ import annotations

from collections.abc import Callable

import torch

import dsr_kernels
from benchmarks.baselines import order
from benchmarks.case import Case, Provider, Target, require
from benchmarks.checks import check_grown
from benchmarks.inputs import Problem
from benchmarks.ours import ours
from benchmarks.shapes import Net

TARGETS: tuple[Target, ...] = ()


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside topk and a whole sort in each layer. The gradient is dense."""
    p = Problem(net, sparsity, device, pruned=True)
    growth, flags, occupied = p.growth, p.layers(p.flags), p.layers(p.before)
    gradient = p.scores(1)
    scores, counts = p.layers(gradient), growth.tolist()

    def check_largest(grown_flags: torch.Tensor) -> None:
        check_grown(p, grown_flags, growth)
        layers = (p.layers(t) for t in (gradient.abs(), grown_flags & ~p.kept, p.before))
        for magnitudes, grown, before in zip(*layers, strict=True):
            if grown.any() and not (before | grown).all():
                left = magnitudes[~(before | grown)].max()
                require(magnitudes[grown].min() >= left, "a smaller score grew before a larger")

    def eager(name: str, run: Callable[..., None]) -> Provider:
        return Provider(
            name,
            "eager",
            lambda: run(scores, occupied, flags, counts),
            p.restoring("flags"),
            lambda result: check_largest(p.flags),
        )

    providers = [
        *ours(
            device,
            ["grow_largest_"],
            lambda: dsr_kernels.grow_largest_(p.mask, p.previous, scores, growth),
            p.restoring("mask"),
            lambda result: check_largest(p.mask_flags()),
        ),
        eager("topk", order.grow_topk),
        eager("sort", order.grow_sort),
    ]
    return p.case("grow_largest_", net.bytes + 3 * (net.weights // 8), providers)
