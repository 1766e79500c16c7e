"""packed_linear: forward and backward through a net's layers, each taken as a matrix."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

import dsr_kernels
from benchmarks import products
from benchmarks.case import Case, Target
from benchmarks.cases.masked_linear import layers_of
from benchmarks.inputs import Problem
from benchmarks.products import Layer
from benchmarks.shapes import Net

TARGETS = (Target("dense", 0.86),)


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside a scatter into zeros before each product, and pre-masked dense."""
    p = Problem(net, sparsity, device)
    layers = layers_of(p)
    packed = [dsr_kernels.pack(layer.dense.detach(), p.mask, i) for i, layer in enumerate(layers)]
    values = [v.requires_grad_() for v, _ in packed]

    def ours(layer: Layer) -> Tensor:
        _, ranks = packed[layer.number]
        outs = len(layer.weight)
        value = values[layer.number]
        return dsr_kernels.packed_linear(layer.x, value, ranks, p.mask, layer.number, outs=outs)

    def scattered(layer: Layer) -> Tensor:
        dense = torch.zeros_like(layer.dense).masked_scatter(layer.flags, values[layer.number])
        return functional.linear(layer.x, dense)

    def step(multiply: Callable[[Layer], Tensor]) -> list[Tensor]:
        results = []
        for layer, value in zip(layers, values, strict=True):
            output = multiply(layer)
            results += [output, *torch.autograd.grad(output, (layer.x, value), layer.grad)]
        return results

    return products.packed_case(
        "packed_linear", p, layers, lambda: step(ours), {"scatter": lambda: step(scattered)}
    )
