"""The networks whose layer shapes are timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

import dsr


@dataclass(frozen=True)
class Net:
    """Layer sizes of one network.

    Attributes:
        name: in ``NETS``.
        sizes: weights of each layer.
        fans: inputs that one output of each layer sums over; they scale the weights.
        moved: weights that one reallocation moves, N_p of the DSR paper.
    """

    name: str
    sizes: tuple[int, ...]
    fans: tuple[int, ...]
    moved: int

    @property
    def weights(self) -> int:
        return sum(self.sizes)


def _of(name: str, model: nn.Module, paper: str, moved: int) -> Net:
    parameters = dict(model.named_parameters())
    shapes = [parameters[layer].shape for layer in dsr.models.sparse_layers(model, paper)]
    sizes = tuple(shape.numel() for shape in shapes)
    return Net(name, sizes, tuple(shape[1:].numel() for shape in shapes), moved)


def _large(name: str) -> Net:
    return Net(name, (1 << 20,) * 64, (1 << 10,) * 64, 500_000)


# Every convolution and linear weight of ResNet-50, 25.5 M; of the others what the DSR paper makes
# sparse.
NETS: dict[str, Callable[[str], Net]] = {
    "lenet-300-100": lambda name: _of(name, dsr.models.lenet_300_100(), "dsr", 600),
    "wrn-28-2": lambda name: _of(name, dsr.models.wide_resnet(28, 2), "dsr", 20_000),
    "resnet50": lambda name: _of(name, dsr.models.resnet50(), "dst", 200_000),
    "64m": _large,
}
CPU_NETS = ("lenet-300-100", "wrn-28-2", "resnet50")


@cache
def net(name: str) -> Net:
    """The net of that name in ``NETS``."""
    with torch.device("meta"):
        return NETS[name](name)
