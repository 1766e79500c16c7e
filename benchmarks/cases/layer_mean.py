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
# Sums in any order, and the mean in the dtype.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.02}


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside eager means. The momentum is dense, so the mask has to be looked at."""
    p = Problem(net, sparsity, device)
    momentum = p.scores(1)
    layers, flags = p.layers(momentum), p.layers(p.flags)
    floats = p.layers(p.flags.to(net.dtype))
    exact = torch.stack([m[f].abs().double().mean() for m, f in zip(layers, flags, strict=True)])

    def check(result: Any) -> None:
        means = torch.as_tensor(result, device=device).double()
        error = (means / means.sum() - exact / exact.sum()).abs().max() * len(exact)
        require(error < TOLERANCE[net.dtype], f"the shares are off by {error}")

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
    return p.case("layer_mean", net.bytes + net.weights // 8, providers)
