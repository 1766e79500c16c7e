"""The network of a run, and the data in the form that it takes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dsr.data import ImageData
from dsr.models import lenet5, lenet_300_100
from dsr.sparsifier import Sparsifier

IMAGE_SIZE = 28
IMAGE_MODELS = ("lenet-5",)


def network_data(model: str, data: ImageData) -> ImageData:
    """The data as the model takes it: images are scaled to 28 x 28 pixels for LeNet-5, bilinearly.

    Args:
        model: name in ``dsr.models.MODELS``.
        data: the data set.

    Returns:
        The data set with the images that the model is trained and tested on.

    Raises:
        ValueError: starts with ``model``; it takes images, and the data set has none.
    """
    if model not in IMAGE_MODELS:
        return data
    if data.train_images.dim() != 4:
        raise ValueError(
            f"model: {model} takes images, got rows of {data.features} numbers; use lenet-300-100"
        )
    return dataclasses.replace(
        data, train_images=_scaled(data.train_images), test_images=_scaled(data.test_images)
    )


def build_network(model: str, data: ImageData, seed: int, init: str = "default") -> nn.Module:
    """The model for ``data``, its weights drawn from ``seed``, all of them: none is inactive yet.

    A weight that is inactive at the start, or in the masks of some run, has its value in the draw
    too: the same seed gives back every initial weight of an earlier run.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if model in IMAGE_MODELS:
            network = lenet5(channels=data.train_images.shape[1], classes=data.classes)
        else:
            network = lenet_300_100(data.features, data.classes)
        if init == "rescaled":
            for module in network.modules():
                if isinstance(module, (nn.Conv2d, nn.Linear)):
                    nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
        return network


def rescale(sparse: Sparsifier) -> None:
    """Give each layer's output the variance that it had with every weight active."""
    with torch.no_grad():
        for layer in sparse.stats().layers:
            scale = math.sqrt(layer.units / max(1, layer.active))
            sparse.model.get_parameter(layer.name).mul_(scale)


def fresh_seed(seed: int) -> int:
    """A seed for weights other than those that ``seed`` itself gives."""
    return int(np.random.SeedSequence((seed, 1)).generate_state(1)[0])


def _scaled(images: Tensor) -> Tensor:
    size = (IMAGE_SIZE, IMAGE_SIZE)
    return functional.interpolate(images, size=size, mode="bilinear", align_corners=False)
