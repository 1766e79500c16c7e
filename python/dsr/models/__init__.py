"""The models of the papers; ``MODELS`` maps a command-line name to its constructor."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from dsr.models.lenet import lenet5, lenet_300_100
from dsr.models.papers import sparse_layers
from dsr.models.resnet import resnet50
from dsr.models.wide_resnet import wide_resnet

MODELS: dict[str, Callable[..., nn.Module]] = {"lenet-300-100": lenet_300_100, "lenet-5": lenet5}

__all__ = ["MODELS", "lenet5", "lenet_300_100", "resnet50", "sparse_layers", "wide_resnet"]
