"""reset_state_: clear the momentum of what was pruned or grown."""

from __future__ import annotations

from collections.abc import Callable

import torch

import dsr_kernels
from benchmarks.case import Case, Provider, Target, require
from benchmarks.cases.prune_threshold import LINE_BYTES
from benchmarks.inputs import Problem
from benchmarks.ours import ours
from benchmarks.shapes import Net

TARGETS: tuple[Target, ...] = ()


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside masked_fill_ where two bool masks differ, and a list of places known from before."""
    p = Problem(net, sparsity, device, pruned=True)
    number = torch.ones(1, dtype=torch.int64, device=device)
    dsr_kernels.grow_random_(p.mask, p.previous, p.growth, seed=0, reallocation=number)
    p.flags.copy_(p.mask_flags())
    p.momentum.normal_()  # of the inactive too: what has to be kept is seen
    momentum, flags, before = p.layers(p.momentum), p.layers(p.flags), p.layers(p.before)
    changed = p.flags ^ p.before
    places = changed.nonzero().view(-1)
    restore = p.restoring("momentum")
    wanted = p.momentum.masked_fill(changed, 0)

    def check(result: object) -> None:
        require(torch.equal(p.momentum, wanted), "other momentum was cleared than changed")

    def eager(name: str, run: Callable[[], object]) -> Provider:
        return Provider(name, "eager", run, restore, check)

    providers = [
        *ours(
            device,
            ["reset_state_"],
            lambda: dsr_kernels.reset_state_(momentum, p.mask, p.previous),
            restore,
            check,
        ),
        eager(
            "masked_fill_(mask ^ previous)",
            lambda: [
                m.masked_fill_(now ^ then, 0)
                for m, now, then in zip(momentum, flags, before, strict=True)
            ],
        ),
        eager("the same, one buffer", lambda: p.momentum.masked_fill_(p.flags ^ p.before, 0)),
        eager("index_fill_, places known", lambda: p.momentum.index_fill_(0, places, 0)),
    ]
    changed_bytes = min(net.bytes, LINE_BYTES * len(places))
    return p.case("reset_state_", 2 * (net.weights // 8) + changed_bytes, providers)
