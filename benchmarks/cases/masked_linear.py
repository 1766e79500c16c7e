"""masked_linear: forward and backward through a net's layers, each taken as a matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import dsr_kernels
from benchmarks import products
from benchmarks.case import Case, Target
from benchmarks.inputs import Problem
from benchmarks.products import Layer
from benchmarks.shapes import Net

TARGETS = (Target("dense", 0.97),)
ROWS = {"cpu": 64, "cuda": 8192}


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside ``w * mask``, eager and compiled, CSR, and pre-masked dense."""
    p = Problem(net, sparsity, device)
    layers = layers_of(p)

    def masked(layer: Layer, weight: Tensor, weight_is_masked: bool) -> Any:
        return dsr_kernels.masked_linear(
            layer.x, weight, p.mask, layer.number, weight_is_masked=weight_is_masked
        )

    return products.case(
        "masked_linear", p, layers, masked, {"torch.sparse CSR": products.csr(layers)}
    )


def layers_of(p: Problem) -> list[Layer]:
    """Every layer of a net as a matrix, with an input of as many rows as the device is given."""
    layers = []
    for number, (size, fan) in enumerate(zip(p.net.sizes, p.net.fans, strict=True)):
        generator = torch.Generator(p.device).manual_seed(number)
        rows = ROWS[p.device.type]
        x = torch.randn(rows, fan, generator=generator, device=p.device, dtype=p.net.dtype)
        layers.append(products.build(p, number, x, (size // fan, fan), products.linear))
    return layers
