"""prune_threshold_: prune below a threshold and count, all layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import dsr_kernels
from benchmarks.baselines import authors, prune
from benchmarks.case import Case, Provider, Target
from benchmarks.checks import check_pruned
from benchmarks.inputs import Problem
from benchmarks.ours import ours
from benchmarks.shapes import Net

TARGETS = (Target("eager", 6),)
LINE_BYTES = 64  # what the memory moves when one weight changes


def moved_bytes(net: Net) -> int:
    """Every weight in, a bit a weight in and out, one cache line out for each weight pruned."""
    return net.bytes + 2 * (net.weights // 8) + min(net.bytes, LINE_BYTES * net.moved)


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside the authors' way, eager PyTorch from the first idea to the best, torch.compile."""
    p = Problem(net, sparsity, device)
    weights = p.layers(p.weights)
    providers = [
        *ours(
            device,
            ["prune_threshold_"],
            lambda: dsr_kernels.prune_threshold_(weights, p.mask, p.threshold),
            p.restoring("weights", "mask"),
            lambda result: check_pruned(p, p.mask_flags(), _first_two(result)),
        ),
        authors_provider(p),
        *eager_providers(p),
    ]
    return p.case("prune_threshold_", moved_bytes(net), providers)


def authors_provider(p: Problem) -> Provider:
    weights, masks = p.layers(p.weights), p.layers(p.flags.float())
    flat = torch.cat(masks)
    masks, start = p.layers(flat), flat.clone()
    restore_weights = p.restoring("weights")

    def restore() -> None:
        restore_weights()
        flat.copy_(start)

    return Provider(
        "authors' way",
        "authors",
        lambda: authors.prune_threshold(weights, masks, p.h),
        restore,
        lambda result: check_pruned(p, flat.bool()),
    )


def eager_providers(p: Problem) -> list[Provider]:
    weights, flags, active = p.layers(p.weights), p.layers(p.flags), p.active
    restore = p.restoring("weights", "flags")
    magnitudes, below = torch.empty_like(p.weights), torch.empty_like(p.flags)
    indices, ends = p.flags.nonzero().view(-1), p.units.cumsum(0)
    compiled, h = prune.compiled(), p.threshold.squeeze(0)

    def eager(name: str, run: Callable[[], Any], kind: str = "eager") -> Provider:
        def check(result: object) -> None:
            check_pruned(p, p.flags, _first_two(result))

        return Provider(name, kind, run, restore, check)

    return [
        eager("masks", lambda: prune.masks(weights, flags, p.h)),
        eager(
            "masks, preallocated",
            lambda: prune.preallocated(
                weights, flags, p.h, active, p.layers(magnitudes), p.layers(below)
            ),
        ),
        eager("_foreach", lambda: prune.foreach(weights, flags, p.h, active)),
        eager("hardshrink", lambda: prune.hardshrink(weights, flags, p.h, active)),
        eager(
            "hardshrink, one buffer",
            lambda: prune.hardshrink_flat(p.weights, p.flags, flags, p.h, active),
        ),
        eager(
            "list of active indices",
            lambda: prune.index_list(p.weights, p.flags, indices, ends, p.h, active)[0],
        ),
        eager("torch.compile of masks", lambda: compiled(weights, flags, h), "compiled"),
    ]


def _first_two(result: Any) -> Any:
    return result[:2]
