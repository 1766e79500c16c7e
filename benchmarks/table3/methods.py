"""The methods of Table 3, how often the papers reallocate, and what the paper measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

import dsr
from dsr import Method


@dataclass(frozen=True)
class Setting:
    """One network at the paper's shapes.

    Attributes:
        model: builds it.
        image: side of its square RGB images.
        classes: of its classifier.
        batch: images a step.
        cpu_image, cpu_batch: what a CPU gets instead, so that a step takes no minute.
        periods: steps between reallocations, a method. DSR and SET: the steps of the paper's
            training over its reallocations, as its period grows from quarter to quarter.
        moved: weights that one reallocation of DSR moves, N_p.
        fraction: what SET prunes of each layer to move as many.
    """

    model: Callable[[], nn.Module]
    image: int
    classes: int
    batch: int
    cpu_image: int
    cpu_batch: int
    periods: dict[str, int]
    moved: int
    fraction: float


# Epochs of 500 and 5,005 steps: 368 reallocations in 200 epochs, 230 in 100. DeepR moves weights
# in every step, sparse momentum once an epoch, RigL every 100 steps.
SETTINGS = {
    "wrn-28-2": Setting(
        model=lambda: dsr.models.wide_resnet(28, 2),
        image=32,
        classes=10,
        batch=100,
        cpu_image=32,
        cpu_batch=16,
        periods={"dsr": 272, "set": 272, "deepr": 1, "sparse-momentum": 500, "rigl": 100},
        moved=20_000,
        fraction=0.138,
    ),
    "resnet50": Setting(
        model=dsr.models.resnet50,
        image=224,
        classes=1000,
        batch=256,
        cpu_image=64,
        cpu_batch=2,
        periods={"dsr": 2176, "set": 2176, "deepr": 1, "sparse-momentum": 5005, "rigl": 100},
        moved=200_000,
        fraction=0.089,
    ),
}
SPARSITY = 0.9

# Mostafa and Wang (2019), Table 3: epoch time over that of static sparse training, and its spread.
PAPER = {
    ("wrn-28-2", "dsr"): (1.083, 0.051),
    ("wrn-28-2", "set"): (1.087, 0.049),
    ("wrn-28-2", "deepr"): (4.466, 0.358),
    ("resnet50", "dsr"): (1.005, 0.004),
    ("resnet50", "set"): (1.009, 0.002),
    ("resnet50", "deepr"): (5.636, 0.218),
}
TARGETS = {  # the ratio at most
    ("wrn-28-2", "dsr"): 1.0001,
    ("wrn-28-2", "set"): 1.0001,
    ("wrn-28-2", "deepr"): 1.02,
    ("resnet50", "dsr"): 1.0001,
    ("resnet50", "set"): 1.0001,
    ("resnet50", "deepr"): 1.005,
}
INTERVAL_TARGETS = {"dsr": 1.001}  # the paired ratio's interval contains it or lies below
METHOD_NAMES = {
    "dsr": "DSR",
    "set": "SET",
    "deepr": "DeepR",
    "sparse-momentum": "sparse momentum",
    "rigl": "RigL",
}
METHODS = tuple(METHOD_NAMES)


def method_of(name: str, setting: Setting, period: int) -> Method:
    """A method that reallocates every ``period`` steps and never stops (DeepR: in every step)."""
    every: dict[str, Any] = {"sparsity": SPARSITY, "period": period, "stop": None}
    if name == "dsr":
        return dsr.DSR(**every, prune_count=setting.moved)
    if name == "set":
        return dsr.SET(**every, prune_fraction=setting.fraction)
    if name == "deepr":
        return dsr.DeepR(
            sparsity=SPARSITY, temperatures=(1e-5,), temperature_starts=(0.0,), stop=None
        )
    if name == "sparse-momentum":
        return dsr.SparseMomentum(**every, decay="constant")
    return dsr.RigL(**every, decay="constant")
