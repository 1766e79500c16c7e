"""unpack: packed weights back to their places, zeros elsewhere, every layer."""

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
    """Beside a scatter by a bool mask, and one by index lists kept by those who have them."""
    p = Problem(net, sparsity, device)
    weights, flags = p.layers(p.weights), p.layers(p.flags)
    indices = [flag.nonzero().view(-1) for flag in flags]
    packed = [dsr_kernels.pack(w, p.mask, i) for i, w in enumerate(weights)]
    sizes = list(net.sizes)

    def check(result: Any) -> None:
        require(torch.equal(torch.cat(list(result)), p.weights), "the weights are other ones")

    def eager(name: str, run: Callable[[], object]) -> Provider:
        return Provider(name, "eager", run, check=check)

    def zeros(size: int) -> torch.Tensor:
        return torch.zeros(size, dtype=net.dtype, device=device)

    providers = [
        *ours(
            device,
            ["unpack"],
            lambda: [dsr_kernels.unpack(*one, p.mask, i) for i, one in enumerate(packed)],
            check=check,
        ),
        eager(
            "zeros.masked_scatter_",
            lambda: [
                zeros(n).masked_scatter_(f, v)
                for n, f, (v, _) in zip(sizes, flags, packed, strict=True)
            ],
        ),
        eager(
            "zeros.index_copy_ by a list kept",
            lambda: [
                zeros(n).index_copy_(0, i, v)
                for n, i, (v, _) in zip(sizes, indices, packed, strict=True)
            ],
        ),
    ]
    values = sum(len(v) for v, _ in packed)
    moved = net.dtype.itemsize * (values + net.weights) + net.weights // 8
    return p.case("unpack", moved, providers)
