"""Training a network on synthetic images: dense, with our methods, or as the authors write them."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn

import dsr
from benchmarks.baselines.training import AuthorsMethod
from benchmarks.table3.methods import SPARSITY, Setting, method_of

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 5e-4
IMPLEMENTATIONS = ("ours", "authors", "rigl-torch")
NEVER = 10**9


class Training(ABC):
    """A model, one batch of random images that every step sees, and an optimizer."""

    def __init__(self, setting: Setting, device: torch.device) -> None:
        torch.manual_seed(0)
        self.device = device
        self.model = setting.model().to(device)
        batch, side = setting.batch, setting.image
        if device.type == "cpu":
            batch, side = setting.cpu_batch, setting.cpu_image
        self.images = torch.randn(batch, 3, side, side, device=device)
        self.labels = torch.randint(setting.classes, (batch,), device=device)
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = self.make_optimizer()

    def make_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            self.model.parameters(),
            lr=LEARNING_RATE,
            momentum=MOMENTUM,
            nesterov=True,
            weight_decay=WEIGHT_DECAY,
        )

    def backward(self) -> None:
        self.optimizer.zero_grad()
        self.loss(self.model(self.images), self.labels).backward()

    @abstractmethod
    def update(self) -> None:
        """What follows the backward pass: the optimizer's step, and all that sparsity adds."""

    def step(self) -> None:
        self.backward()
        self.update()


class Dense(Training):
    """The same network, every weight of it."""

    def update(self) -> None:
        self.optimizer.step()


class Ours(Training):
    """`dsr.sparsify` around the ordinary loop; ``period`` None: static masks."""

    def __init__(
        self, setting: Setting, device: torch.device, method: str, period: int | None
    ) -> None:
        super().__init__(setting, device)
        static = dsr.Static(sparsity=SPARSITY)
        self.sparse = dsr.sparsify(
            self.model,
            static if period is None else method_of(method, setting, period),
            include=dsr.models.sparse_layers(self.model),
            optimizer=self.optimizer,
        )

    def update(self) -> None:
        self.optimizer.step()


class Authors(Training):
    """Dense float masks multiplied in after every step, reallocation as the authors write it."""

    def __init__(
        self, setting: Setting, device: torch.device, method: str, period: int | None
    ) -> None:
        super().__init__(setting, device)
        parameters = dict(self.model.named_parameters())
        chosen = [parameters[name] for name in dsr.models.sparse_layers(self.model)]
        self.method = AuthorsMethod(
            method, chosen, self.optimizer, SPARSITY, setting.moved, setting.fraction
        )
        self.period, self.number = period, 0

    def update(self) -> None:
        self.number += 1
        due = self.period is not None and self.number % self.period == 0
        if due:
            self.method.before_step()
        self.optimizer.step()
        self.method.mask_weights()
        if due:
            self.method.reallocate()


class RigLTorch(Training):
    """The package rigl-torch from PyPI; it leaves the first convolution dense, and no other."""

    def __init__(
        self, setting: Setting, device: torch.device, method: str, period: int | None
    ) -> None:
        super().__init__(setting, device)
        from rigl_torch.RigL import RigLScheduler

        self.scheduler = RigLScheduler(
            self.model,
            self.optimizer,
            dense_allocation=1 - SPARSITY,
            T_end=NEVER,
            ignore_linear_layers=False,
            delta=period or NEVER,
            static_topo=period is None,
        )

    def update(self) -> None:
        if self.scheduler():
            self.optimizer.step()


def runs(implementation: str, method: str) -> bool:
    """Whether an implementation has a method at all."""
    return implementation != "rigl-torch" or method == "rigl"


def training(
    implementation: str, setting: Setting, device: torch.device, method: str, period: int | None
) -> Training:
    """A training whose weights move every ``period`` steps, or never (None)."""
    chosen = {"ours": Ours, "authors": Authors, "rigl-torch": RigLTorch}[implementation]
    return chosen(setting, device, method, period)


def memory_of(device: torch.device) -> int:
    """Bytes that tensors take on a GPU now; 0 on a CPU, where PyTorch does not count."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
