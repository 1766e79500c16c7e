"""pack: the active weights of every layer, side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import dsr_kernels
from benchmarks.case import Case, Provider, Target, require
from benchmarks.inputs import Problem
from benchmarks.ours import ours
from benchmarks.shapes import Net

TARGETS: tuple[Target, ...] = ()


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside boolean indexing, and index lists kept by those who have them."""
    p = Problem(net, sparsity, device)
    weights, flags = p.layers(p.weights), p.layers(p.flags)
    indices = [flag.nonzero().view(-1) for flag in flags]
    active = p.active.tolist()
    expected = p.weights[p.flags]

    def check(result: Any) -> None:
        require(
            torch.equal(torch.cat(list(result)), expected), "the values are not the active ones"
        )

    def eager(name: str, run: Callable[[], object]) -> Provider:
        return Provider(name, "eager", run, check=check)

    providers = [
        *ours(
            device,
            ["pack"],
            lambda: [
                dsr_kernels.pack(w, p.mask, i, active=active[i])[0] for i, w in enumerate(weights)
            ],
            check=check,
        ),
        eager("w[mask]", lambda: [w[f] for w, f in zip(weights, flags, strict=True)]),
        eager(
            "masked_select",
            lambda: [w.masked_select(f) for w, f in zip(weights, flags, strict=True)],
        ),
        eager(
            "index_select by a list kept",
            lambda: [w.index_select(0, i) for w, i in zip(weights, indices, strict=True)],
        ),
    ]
    moved = 2 * net.dtype.itemsize * sum(active) + 2 * (net.weights // 8)
    return p.case("pack", moved, providers)
