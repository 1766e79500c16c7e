"""What is timed: op -> cases, and for each case the providers that do the same work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, SparseLayout


@dataclass(frozen=True)
class Case:
    """One row group of the table.

    ``moved_bytes``: what the op has to read and write at least. ``providers``: name -> what is
    timed; the first is ours, ``copy`` copies ``copied_elements`` float32 and is the speed limit.
    """

    op: str
    name: str
    moved_bytes: int
    copied_elements: int
    providers: dict[str, Callable[[], object]]


LENET_300_100 = (784 * 300, 300 * 100, 100 * 10)
# The convolutions of a wide residual network of depth 28 and width 2, by element count.
WRN_28_2 = (4608, *[9216] * 7, 18432, *[36864] * 7, 73728, *[147456] * 7)
LARGE = (1 << 20,) * 64

NETS = {"LeNet-300-100": LENET_300_100, "WRN-28-2": WRN_28_2, "64 M": LARGE}
CPU_NETS = ("LeNet-300-100", "WRN-28-2")


def cases(device: torch.device) -> list[Case]:
    """Every case that this device is timed on."""
    nets = CPU_NETS if device.type == "cpu" else tuple(NETS)
    return [apply_mask_case(name, sparsity, device) for name in nets for sparsity in (0.9, 0.5)]


def apply_mask_case(net: str, sparsity: float, device: torch.device) -> Case:
    """apply_mask_ on float32 weights, beside the ways to mask a list of tensors today."""
    generator = torch.Generator().manual_seed(0)
    sizes = NETS[net]
    layout = SparseLayout(tuple(LayerShape(size) for size in sizes))
    bits = [torch.rand(size, generator=generator) >= sparsity for size in sizes]
    mask = BitMask.from_bools(layout, bits).to(device)
    weights = [torch.randn(size, generator=generator).to(device) for size in sizes]
    floats = [layer.to(device, torch.float32) for layer in bits]
    inactive = [~layer.to(device) for layer in bits]
    source, target = torch.cat(weights), torch.empty(sum(sizes), device=device)
    inactive_units = int(sum(int(layer.sum()) for layer in inactive))
    providers: dict[str, Callable[[], object]] = {
        f"dsr ({name})": _forced(name, weights, mask) for name in _backends(device)
    }
    providers |= {
        "w.mul_(mask)": lambda: [w.mul_(m) for w, m in zip(weights, floats, strict=True)],
        "_foreach_mul_": lambda: torch._foreach_mul_(weights, floats),
        "masked_fill_": lambda: [
            w.masked_fill_(m, 0) for w, m in zip(weights, inactive, strict=True)
        ],
        "dense SGD step": _sgd_step(weights),
        "copy": lambda: target.copy_(source),
    }
    moved = 4 * inactive_units + sum(sizes) // 8
    return Case("apply_mask_", f"{net}, sparsity {sparsity}", moved, sum(sizes), providers)


def _backends(device: torch.device) -> list[str]:
    schema = dsr_kernels.schema.OPS["apply_mask_"]
    unavailable = dsr_kernels.dispatch.unavailable
    return [name for name in schema.backends if not unavailable(schema, name, device)]


def _forced(name: str, weights: list[Tensor], mask: BitMask) -> Callable[[], object]:
    def run() -> None:
        with dsr_kernels.backend(name):
            dsr_kernels.apply_mask_(weights, mask)

    return run


def _sgd_step(weights: list[Tensor]) -> Callable[[], object]:
    """What a dense network pays at the same place: its optimizer step alone."""
    parameters = [torch.nn.Parameter(w.clone()) for w in weights]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    return torch.optim.SGD(parameters, lr=0.0, momentum=0.9, foreach=True).step
