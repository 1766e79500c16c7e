"""The networks whose layer shapes are timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
        dtype: of weights and momentum.
    """

    name: str
    sizes: tuple[int, ...]
    fans: tuple[int, ...]
    moved: int
    dtype: torch.dtype = torch.float32

    @property
    def bytes(self) -> int:
        """What all weights take."""
        return self.weights * self.dtype.itemsize

    @property
    def weights(self) -> int:
        return sum(self.sizes)


def _of(name: str, model: nn.Module, paper: str, moved: int) -> Net:
    parameters = dict(model.named_parameters())
    shapes = [parameters[layer].shape for layer in dsr.models.sparse_layers(model, paper)]
    sizes = tuple(shape.numel() for shape in shapes)
    return Net(name, sizes, tuple(shape[1:].numel() for shape in shapes), moved)


def _transformer(name: str) -> Net:
    """The linear layers of 20 blocks of width 2048: 1.007 billion weights."""
    width = 2048
    shapes = [(3 * width, width), (width, width), (4 * width, width), (width, 4 * width)] * 20
    sizes = tuple(rows * columns for rows, columns in shapes)
    return Net(name, sizes, tuple(columns for _, columns in shapes), sum(sizes) // 500)


def _layers(name: str) -> Net:
    """A number of weights as 16 layers, to see how time grows with it."""
    size = int(float(name)) // 16
    return Net(name, (size,) * 16, (1024,) * 16, max(1, size * 16 // 500))


SIZES = ("1e5", "1e6", "1e7", "1e8", "1e9")

# Every convolution and linear weight of ResNet-50, 25.5 M; of the others what the DSR paper makes
# sparse.
NETS: dict[str, Callable[[str], Net]] = {
    "lenet-300-100": lambda name: _of(name, dsr.models.lenet_300_100(), "dsr", 600),
    "wrn-28-2": lambda name: _of(name, dsr.models.wide_resnet(28, 2), "dsr", 20_000),
    "resnet50": lambda name: _of(name, dsr.models.resnet50(), "dst", 200_000),
    "wrn-16-8": lambda name: _of(name, dsr.models.wide_resnet(16, 8), "dsr", 100_000),
    "transformer-1b": _transformer,
    **dict.fromkeys(SIZES, _layers),
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CPU_NETS = ("lenet-300-100", "wrn-28-2", "resnet50")
GPU_NETS = (*CPU_NETS, "wrn-16-8", "transformer-1b")


@cache
def net(name: str, dtype: torch.dtype = torch.float32) -> Net:
    """The net of that name in ``NETS``, its weights of ``dtype``."""
    with torch.device("meta"):
        return replace(NETS[name](name), dtype=dtype)
