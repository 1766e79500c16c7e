"""apply_mask_: zero the inactive weights, as after every optimizer step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import dsr_kernels
from benchmarks.case import Case, Provider, Target
from benchmarks.checks import check_zeros
from benchmarks.inputs import Problem
from benchmarks.ours import ours
from benchmarks.shapes import Net

TARGETS: tuple[Target, ...] = ()


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside the ways to mask a list of tensors today, and the dense optimizer's own step."""
    p = Problem(net, sparsity, device)
    p.weights.normal_()  # an optimizer step has moved the inactive ones too
    weights, inactive = p.layers(p.weights), p.layers(~p.flags)
    floats = p.layers(p.flags.to(net.dtype))
    restore = p.restoring("weights")
    inactive_units = net.weights - int(p.active.sum())

    def check(result: object) -> None:
        check_zeros(p.weights, p.flags, "weights")

    def eager(name: str, run: Callable[[], object]) -> Provider:
        return Provider(name, "eager", run, restore, check)

    providers = [
        *ours(
            device,
            ["apply_mask_"],
            lambda: dsr_kernels.apply_mask_(weights, p.mask),
            restore,
            check,
        ),
        eager("w.mul_(mask)", lambda: [w.mul_(m) for w, m in zip(weights, floats, strict=True)]),
        eager("_foreach_mul_", lambda: torch._foreach_mul_(weights, floats)),
        eager(
            "masked_fill_",
            lambda: [w.masked_fill_(m, 0) for w, m in zip(weights, inactive, strict=True)],
        ),
        _sgd_step(weights),
    ]
    return p.case("apply_mask_", net.dtype.itemsize * inactive_units + net.weights // 8, providers)


def _sgd_step(weights: list[Tensor]) -> Provider:
    """What a dense network pays at the same place: its optimizer step alone."""
    parameters = [torch.nn.Parameter(w.clone()) for w in weights]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer = torch.optim.SGD(parameters, lr=0.0, momentum=0.9, foreach=True)
    return Provider("dense SGD step", "dense", optimizer.step)
