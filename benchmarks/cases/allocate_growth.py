"""allocate_growth: adapt the threshold and split the growth over the layers."""

from __future__ import annotations

from typing import Any

import torch

import dsr_kernels
from benchmarks.baselines.step import largest_remainder
from benchmarks.case import Case, Provider, Target, require
from benchmarks.inputs import Problem
from benchmarks.ours import ours
from benchmarks.shapes import Net

TARGETS: tuple[Target, ...] = ()


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside NumPy on the host, for which the counts have to come and go."""
    p = Problem(net, sparsity, device)
    pruned, surviving, free = p.pruned, p.surviving, p.units - p.active
    lower, upper = dsr_kernels.tolerance_bounds(net.moved, 0.1)

    def run() -> object:
        return dsr_kernels.allocate_growth(
            pruned, surviving, free, threshold=p.threshold, lower=lower, upper=upper
        )

    def on_host() -> object:
        counts = largest_remainder(int(pruned.sum()), surviving.cpu().numpy(), free.cpu().numpy())
        return torch.from_numpy(counts).to(device)

    def check(result: Any) -> None:
        require(torch.equal(result, p.growth), "the split is not the largest remainder's")

    providers = [
        *ours(device, ["allocate_growth"], run, p.restoring("threshold"), check),
        Provider("NumPy", "eager", on_host, check=check),
    ]
    return p.case("allocate_growth", 0, providers)
