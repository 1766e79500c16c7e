"""What a training run computes: every setting, checked, and its JSON form."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dsr.data import DATA
from dsr.distributions import DISTRIBUTIONS
from dsr.experiments.options import check_choice, check_option, hyper_parameters, own_options
from dsr.methods import METHODS, Method
from dsr.models import MODELS

DEFAULT_L1 = 1e-4
STRUCTURES, WEIGHTS = ("final", "random"), ("original", "random")
INITS = ("default", "rescaled")
MAX_SEED = 2**32 - 1


@dataclass(frozen=True)
class RunConfig:
    """The settings of one run; two runs with equal settings compute the same numbers.

    Values left open are filled in, so that the object, and the ``config.json`` written from it,
    names every setting in force. The defaults are the recipe of the DSR paper's LeNet-300-100
    experiment (appendix, table 4), shortened for a small data set.

    Attributes:
        data: name in ``dsr.data.DATA``.
        model: name in ``dsr.models.MODELS``.
        method: name in ``dsr.methods.METHODS``.
        sparsity: fraction of zeros in the sparse layers, in [0, 1); None is the method's default,
            0 for a method that has none.
        distribution: how the sparsity is first split over the layers, for methods that start from
            random masks.
        epochs: passes over the training data.
        batch_size: rows a step, over all ranks. Each rank takes the same number of them, in the
            order of the ranks; those left over in a batch that does not divide are left out, and
            so is a last batch with fewer than two rows a rank, which batch normalisation needs.
        lr: learning rate, times 0.2 at 25, 50 and 75 % of the epochs.
        momentum: Nesterov momentum, in [0, 1).
        weight_decay: L2 coefficient of SGD, on every parameter.
        l1: coefficient of the L1 penalty on the sparse layers; None is the method's own where its
            default is not 0 (DeepR: 1e-5), 0 for a method that has none, else 1e-4.
        init: how weights start: "default", as PyTorch draws them; "rescaled": He's uniform for
            ReLU, the active ones times sqrt(units / active units) of their layer, without which a
            sparse network that has no normalisation passes hardly anything on.
        seed: of the initial weights, the masks and the order of the rows, in [0, 2^32).
        masks_from: folder of a finished run of the same data, model and sparsity whose final masks
            this one starts from, in place of a random draw; kept fixed with method static.
        structure: "final": those masks; "random": random ones with as many active weights in each
            layer.
        weights: with ``masks_from``, the initial weights: "original": those that run started from,
            also where it had no active weight; "random": a draw that neither run has made.
        dense_from: folder of a finished run of method dense whose final weights this one starts
            from; for compressed with ``begin=0``.
        device: ``auto`` (cuda if there is one), ``cpu``, ``cuda`` or ``cuda:index``. With several
            ranks no index: each takes the GPU of its number on its machine.
        world_size: ranks that train together, the processes that torchrun started. Results are
            the same each time with as many ranks, not with fewer or more: sums are split
            otherwise, and batch normalisation sees the rows of one rank (its running statistics
            are those of rank 0).
        options: the method's other hyper-parameters by name.

    Raises:
        ValueError, TypeError: the text starts with the name of the setting; ``options.name`` for
            a hyper-parameter of the method.
    """

    data: str = "digits"
    model: str = "lenet-300-100"
    method: str = "dsr"
    sparsity: float | None = None
    distribution: str = "uniform"
    epochs: int = 100
    batch_size: int = 100
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    l1: float | None = None
    init: str = INITS[0]
    seed: int = 0
    device: str = "auto"
    world_size: int = 1
    masks_from: str | None = None
    structure: str | None = None
    weights: str | None = None
    dense_from: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("data", self.data, DATA)
        check_choice("model", self.model, MODELS)
        check_choice("method", self.method, METHODS)
        check_choice("distribution", self.distribution, DISTRIBUTIONS)
        check_choice("init", self.init, INITS)
        _check_int("epochs", self.epochs, 1)
        _check_int("world_size", self.world_size, 1)
        _check_int("batch_size", self.batch_size, 2)
        if self.batch_size < 2 * self.world_size:
            raise ValueError(
                f"batch_size: expected at least 2 rows for each of {self.world_size} ranks, got "
                f"{self.batch_size}"
            )
        _check_int("seed", self.seed, 0, MAX_SEED)
        _check_real("lr", self.lr, "above 0", self.lr > 0)
        _check_real("momentum", self.momentum, "in [0, 1)", 0 <= self.momentum < 1)
        _check_real("weight_decay", self.weight_decay, "of at least 0", self.weight_decay >= 0)
        method = self.build_method()
        self._check_start(method)
        if self.distribution != "uniform" and not draws_masks(method):
            raise ValueError(
                f"distribution: method {self.method!r} draws no masks, leave it out; got "
                f"{self.distribution!r}"
            )
        filled = {name: getattr(method, name) for name in own_options(type(method))}
        object.__setattr__(self, "options", filled)
        object.__setattr__(self, "sparsity", float(getattr(method, "sparsity", 0.0)))
        object.__setattr__(self, "l1", float(getattr(method, "l1", 0.0)))
        object.__setattr__(self, "device", _device_name(self.device, self.world_size))

    def build_method(self) -> Method:
        """The method with these hyper-parameters.

        Raises:
            ValueError, TypeError: a value the method refuses, under the name of the setting.
        """
        method = METHODS[self.method]
        fields = hyper_parameters(method)
        for name in self.options:
            check_option(method, name)
        values = dict(self.options)
        for name, value in (("sparsity", self.sparsity), ("l1", self.l1)):
            if name in fields:
                values |= {} if value is None else {name: value}
            elif value:
                raise ValueError(f"{name}: method {self.method!r} has none, got {value}")
        if "l1" in fields and self.l1 is None:
            values["l1"] = fields["l1"].default or DEFAULT_L1
        try:
            return method(**values)
        except (ValueError, TypeError) as error:
            if re.match(r"(sparsity|l1)\b", str(error)):
                raise
            raise type(error)(f"options.{error}") from error

    def _check_start(self, method: Method) -> None:
        """Check, and fill in, what says where masks and weights come from."""
        for name in ("masks_from", "dense_from"):
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, str(Path(path).absolute()))
        for name, choices in (("structure", STRUCTURES), ("weights", WEIGHTS)):
            if self.masks_from is None:
                if getattr(self, name) is not None:
                    raise ValueError(f"{name}: needs masks_from, got {getattr(self, name)!r} alone")
            elif getattr(self, name) is None:
                object.__setattr__(self, name, choices[0])
            check_choice(name, getattr(self, name) or choices[0], choices)
        if self.masks_from is None:
            return
        if self.dense_from is not None:
            raise ValueError("dense_from: cannot be given together with masks_from")
        if not draws_masks(method):
            raise ValueError(
                f"masks_from: expected a method that starts from random masks, got {self.method!r}"
            )
        if self.distribution != "uniform":
            raise ValueError(
                f"distribution: the masks are given, leave it out; got {self.distribution!r}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return dataclasses.asdict(self)

    def flat(self) -> dict[str, Any]:
        """As :meth:`to_dict`, the options as ``options.name``."""
        values = self.to_dict()
        options = values.pop("options")
        return values | {f"options.{name}": value for name, value in options.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """The settings from :meth:`to_dict`.

        Raises:
            ValueError: a setting that is unknown or missing, or not valid.
        """
        names = [item.name for item in dataclasses.fields(cls)]
        if set(values) != set(names):
            odd = ", ".join(sorted(set(values) ^ set(names)))
            raise ValueError(f"expected the settings {', '.join(names)}; these differ: {odd}")
        return cls(**values)


def draws_masks(method: Method) -> bool:
    """Whether a method starts from random masks: dense, compressed and SNIP do not."""
    starts_sparse = "sparsity" in hyper_parameters(type(method)) and (
        method.initial_sparsity == method.sparsity
    )
    return starts_sparse and not method.needs_calibration


def usable_device(name: str) -> torch.device:
    """The device of that name, if this machine has it.

    Raises:
        ValueError: starts with ``device``.
    """
    device = torch.device(name)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        have = f"cuda:0 to cuda:{count - 1}" if count else "no CUDA device here, use cpu"
        raise ValueError(f"device: expected a device of this machine ({have}), got {name!r}")
    return device


def _device_name(text: object, world_size: int) -> str:
    if not isinstance(text, str) or not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", text):
        raise ValueError(f"device: expected auto, cpu, cuda or cuda:INDEX, got {text!r}")
    if text == "auto":
        text = "cuda" if torch.cuda.is_available() else "cpu"
    if world_size == 1:
        return "cuda:0" if text == "cuda" else text
    if ":" in text:
        raise ValueError(
            f"device: expected auto, cpu or cuda for {world_size} ranks, each of which takes the "
            f"GPU of its number, got {text!r}"
        )
    return text


def _check_int(name: str, value: object, low: int, high: int | None = None) -> None:
    bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected an integer {bounds}, got {value!r}")
    if value < low or (high is not None and value > high):
        raise ValueError(f"{name}: expected an integer {bounds}, got {value}")


def _check_real(name: str, value: object, bounds: str, inside: bool) -> None:
    if not math.isfinite(value) or not inside:  # type: ignore[arg-type]
        raise ValueError(f"{name}: expected a finite number {bounds}, got {value}")
