"""mask_and_count_: the weights after an optimizer step that has moved none of the inactive ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import dsr_kernels
from benchmarks.case import Case, Provider, Target, require
from benchmarks.checks import check_zeros
from benchmarks.inputs import Problem
from benchmarks.ours import ours
from benchmarks.shapes import Net

TARGETS: tuple[Target, ...] = ()


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside masking and looking for NaN and Inf one after the other. There is one to be found."""
    p = Problem(net, sparsity, device)
    p.weights[p.flags.nonzero()[0]] = torch.inf
    weights, floats = p.layers(p.weights), p.layers(p.flags.to(net.dtype))

    found = torch.stack([~torch.isfinite(weight).all() for weight in weights])

    def check(result: object) -> None:
        check_zeros(p.weights, p.flags, "weights")
        require(isinstance(result, Tensor), "no layers were told apart")
        require(torch.equal(result.bool(), found), "another layer was found to hold an infinity")

    def eager(name: str, run: Callable[[], object]) -> Provider:
        return Provider(name, "eager", run, check=check)

    def by_isfinite() -> Tensor:
        for weight, mask in zip(weights, floats, strict=True):
            weight.mul_(mask)
        return torch.stack([(~torch.isfinite(weight)).sum() for weight in weights])

    def by_sums() -> Tensor:
        torch._foreach_mul_(weights, floats)
        return ~torch.isfinite(torch.stack([weight.sum() for weight in weights]))

    def masked_by_ours() -> Tensor:
        dsr_kernels.apply_mask_(weights, p.mask)
        return ~torch.isfinite(torch.stack([weight.sum() for weight in weights]))

    providers = [
        *ours(
            device,
            ["mask_and_count_"],
            lambda: dsr_kernels.mask_and_count_(weights, p.mask),
            check=check,
        ),
        eager("w.mul_(mask), isfinite", by_isfinite),
        eager("_foreach_mul_, sums", by_sums),
        eager("apply_mask_, sums", masked_by_ours),
    ]
    return p.case("mask_and_count_", net.bytes + net.weights // 8, providers)
