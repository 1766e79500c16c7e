"""kth_magnitude: the cut that selects exactly k active weights over all layers."""

from __future__ import annotations

from typing import Any

import torch

import dsr_kernels
from benchmarks.baselines import order
from benchmarks.case import Case, Provider, Target, require
from benchmarks.inputs import Problem
from benchmarks.ours import ours
from benchmarks.shapes import Net

TARGETS = (Target("topk, flat", 5),)


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside topk, sort and kthvalue, on all weights and on the active ones gathered first."""
    p = Problem(net, sparsity, device)
    weights, k = p.layers(p.weights), net.moved
    wanted = torch.tensor([k], device=device)
    inactive, magnitudes = ~p.flags, torch.empty_like(p.weights)
    kth = p.weights[p.flags].abs().float().sort().values[k - 1]

    def check(result: Any) -> None:
        require(torch.equal(result.float(), kth), f"the k-th magnitude is {kth}, got {result}")

    def check_ours(result: Any) -> None:
        check(result[0][0, 0].int().view(torch.float32))

    def flat(name: str) -> Provider:
        return Provider(
            f"{name}, flat",
            "eager",
            lambda: order.flat(name, p.weights, inactive, magnitudes, k),
            check=check,
        )

    def gathered(name: str) -> Provider:
        return Provider(
            f"{name}, active gathered",
            "eager",
            lambda: order.gathered(name, p.weights, p.flags, k),
            check=check,
        )

    providers = [
        *ours(
            device,
            ["kth_magnitude"],
            lambda: dsr_kernels.kth_magnitude(weights, p.mask, wanted, per_layer=False),
            check=check_ours,
        ),
        *(flat(name) for name in order.SELECTIONS),
        *(gathered(name) for name in order.SELECTIONS),
    ]
    return p.case("kth_magnitude", net.bytes + net.weights // 8, providers)
