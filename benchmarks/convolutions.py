"""The convolutions of the nets that are timed: sizes, strides, and the images they see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

import dsr
from benchmarks.shapes import Net

IMAGES = {"wrn-28-2": 32, "wrn-16-8": 32, "resnet50": 224}
MODELS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "wrn-28-2": (lambda: dsr.models.wide_resnet(28, 2), "dsr"),
    "wrn-16-8": (lambda: dsr.models.wide_resnet(16, 8), "dsr"),
    "resnet50": (dsr.models.resnet50, "dst"),
}


@dataclass(frozen=True)
class Convolution:
    """One convolution: the shapes of weight and input (without the batch), and how it moves."""

    weight: tuple[int, ...]
    x: tuple[int, ...]
    stride: int = 1
    padding: int = 0


def convolutions(net: Net) -> list[Convolution]:
    """One a layer of the net, linear layers as 1 x 1.

    A net without a model here counts every layer of a multiple of 9 inputs as 3 x 3 on 8 x 8.
    """
    if net.name in MODELS:
        return _of_model(net)
    found = []
    for size, fan in zip(net.sizes, net.fans, strict=True):
        kernel = 3 if fan % 9 == 0 else 1
        inputs = fan // kernel**2
        weight = (size // fan, inputs, kernel, kernel)
        found.append(Convolution(weight, (inputs, 8, 8), padding=kernel // 2))
    return found


@cache
def distinct(name: str) -> tuple[Convolution, ...]:
    """Every shape of convolution in one of ``MODELS`` once, in the order of the net."""
    with torch.device("meta"):
        model = MODELS[name][0]()
    names = [at for at, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    return tuple(dict.fromkeys(_seen(model, names, IMAGES[name])))


def _of_model(net: Net) -> list[Convolution]:
    build, paper = MODELS[net.name]
    with torch.device("meta"):
        model = build()
    names = [name.removesuffix(".weight") for name in dsr.models.sparse_layers(model, paper)]
    return _seen(model, names, IMAGES[net.name])


def _seen(model: nn.Module, names: Sequence[str], image: int) -> list[Convolution]:
    """What these layers of a model on the meta device see of images of that size."""
    found: dict[str, Convolution] = {}

    def look(name: str) -> Callable[..., None]:
        def hook(module: Any, inputs: tuple[torch.Tensor, ...], output: object) -> None:
            weight, x = tuple(module.weight.shape), tuple(inputs[0].shape[1:])
            if isinstance(module, nn.Conv2d):
                found[name] = Convolution(weight, x, module.stride[0], int(module.padding[0]))
            else:
                found[name] = Convolution((*weight, 1, 1), (*x, 1, 1))

        return hook

    for name in names:
        model.get_submodule(name).register_forward_hook(look(name))
    model(torch.empty(2, 3, image, image, device="meta"))
    return [found[name] for name in names]
