"""layer_mean: mean magnitude of each layer's active momentum, as sparse momentum needs it."""

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
TOLERANCE = 1e-4  # float32 sums in any order


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside eager means. The momentum is dense, so the mask has to be looked at."""
    p = Problem(net, sparsity, device)
    momentum = torch.randn(net.weights, generator=torch.Generator().manual_seed(1)).to(device)
    layers, flags = p.layers(momentum), p.layers(p.flags)
    floats = p.layers(p.flags.float())
    exact = torch.stack([m[f].abs().double().mean() for m, f in zip(layers, flags, strict=True)])

    def check(result: Any) -> None:
        means = torch.as_tensor(result, device=device).double()
        error = (means / means.sum() - exact / exact.sum()).abs().max() * len(exact)
        require(error < TOLERANCE, f"the shares are off by {error}")

    def eager(name: str, run: Callable[[], object]) -> Provider:
        return Provider(name, "eager", run, check=check)

    def foreach() -> object:
        masked = torch._foreach_mul(layers, floats)
        return torch.stack(torch._foreach_norm(masked, 1)) / p.active

    providers = [
        *ours(device, ["layer_mean"], lambda: dsr_kernels.layer_mean(layers, p.mask), check=check),
        eager(
            "m[mask].abs().mean()",
            lambda: torch.stack([m[f].abs().mean() for m, f in zip(layers, flags, strict=True)]),
        ),
        eager("_foreach_mul, _foreach_norm", foreach),
        eager(
            "dot(m.abs(), mask)",
            lambda: (
                torch.stack([torch.dot(m.abs(), f) for m, f in zip(layers, floats, strict=True)])
                / p.active
            ),
        ),
    ]
    return p.case("layer_mean", 4 * net.weights + net.weights // 8, providers)
