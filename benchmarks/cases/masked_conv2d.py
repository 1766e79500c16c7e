"""masked_conv2d: forward and backward through every convolution of a net."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import dsr_kernels
from benchmarks import products
from benchmarks.case import Case, Target
from benchmarks.convolutions import convolutions
from benchmarks.inputs import Problem
from benchmarks.products import Layer
from benchmarks.shapes import Net

TARGETS = (Target("dense", 0.98),)
BATCH = {"cpu": 2, "cuda": 128}


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside ``w * mask``, eager and compiled, and pre-masked dense."""
    p = Problem(net, sparsity, device)
    layers, places = [], convolutions(net)
    for number, place in enumerate(places):
        generator = torch.Generator(device).manual_seed(number)
        size = (BATCH[device.type], *place.x)
        x = torch.randn(size, generator=generator, device=device, dtype=net.dtype)
        function = partial(functional.conv2d, stride=place.stride, padding=place.padding)
        layers.append(products.build(p, number, x, place.weight, function))

    def masked(layer: Layer, weight: Tensor, weight_is_masked: bool) -> Any:
        return dsr_kernels.masked_conv2d(
            layer.x,
            weight,
            p.mask,
            layer.number,
            stride=places[layer.number].stride,
            padding=places[layer.number].padding,
            weight_is_masked=weight_is_masked,
        )

    return products.case("masked_conv2d", p, layers, masked)
