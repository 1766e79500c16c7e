"""prune_smallest_: prune exactly k weights in each layer, as SET does."""

from __future__ import annotations

from collections.abc import Callable

import torch

import dsr_kernels
from benchmarks.baselines import authors, order
from benchmarks.case import Case, Provider, Target
from benchmarks.cases.prune_threshold import moved_bytes
from benchmarks.checks import check_smallest
from benchmarks.inputs import Problem
from benchmarks.ours import ours
from benchmarks.shapes import Net

TARGETS: tuple[Target, ...] = ()


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside a sort of each layer's active weights, topk, kthvalue, and a sort of all weights."""
    p = Problem(net, sparsity, device)
    weights, flags = p.layers(p.weights), p.layers(p.flags)
    k = dsr_kernels.fraction_of(p.active, net.moved / int(p.active.sum()))
    counts = k.tolist()

    def eager(name: str, run: Callable[..., None]) -> Provider:
        return Provider(
            name,
            "eager",
            lambda: run(weights, flags, counts),
            p.restoring("weights", "flags"),
            lambda result: check_smallest(p, p.flags, k),
        )

    providers = [
        *ours(
            device,
            ["prune_smallest_"],
            lambda: dsr_kernels.prune_smallest_(weights, p.mask, k),
            p.restoring("weights", "mask"),
            lambda result: check_smallest(p, p.mask_flags(), k),
        ),
        _authors(p, k),
        eager("topk, active gathered", order.prune_topk),
        eager("kthvalue, active gathered", order.prune_kthvalue),
        eager("sort of all weights", order.prune_sort),
    ]
    return p.case("prune_smallest_", moved_bytes(net), providers)


def _authors(p: Problem, k: torch.Tensor) -> Provider:
    floats, restore_weights = p.flags.float(), p.restoring("weights")
    weights, masks, start, counts = (
        p.layers(p.weights),
        p.layers(floats),
        floats.clone(),
        k.tolist(),
    )

    def restore() -> None:
        restore_weights()
        floats.copy_(start)

    return Provider(
        "authors' way",
        "authors",
        lambda: authors.prune_smallest(weights, masks, counts),
        restore,
        lambda result: check_smallest(p, floats.bool(), k),
    )
