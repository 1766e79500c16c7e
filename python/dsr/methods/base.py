"""What a method is: hyper-parameters, and the rules they stand for."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from dsr.methods.protocol import Rules
from dsr.methods.schedules import reallocation_periods


@dataclass(frozen=True, kw_only=True)
class Method:
    """Base of every method: a frozen record of hyper-parameters.

    Args:
        l1: coefficient of the sum of \\|w\\| over the sparse weights that ``sparse.penalty()``
            returns. 0 adds nothing.
    """

    sparsity: ClassVar[float]
    granularity: ClassVar[str] = "element"

    l1: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, "l1", low=0)

    @property
    def needs_total_steps(self) -> bool:
        """Whether the schedule cannot be told without the length of training."""
        return False

    @property
    def needs_calibration(self) -> bool:
        """Whether `dsr.sparsify` needs ``calibrate=`` to choose the initial mask."""
        return False

    @property
    def has_budget(self) -> bool:
        """Whether the number of active units is promised, and not only counted."""
        return True

    @property
    def initial_sparsity(self) -> float:
        """The sparsity that masks are drawn at."""
        return self.sparsity

    def budget_at(self, step: int, total_steps: int | None, units: Sequence[int]) -> int | None:
        """Active units promised after ``step``, for a budget on a schedule. None: constant."""
        return None

    def rules(self, budget: int) -> Rules | None:
        """How units move, given the number of active units. None: they never do."""
        return None

    def check_optimizer(self, optimizer: torch.optim.Optimizer, weights: Sequence[Tensor]) -> None:
        """Refuse, before its first step, an optimizer with which the rules cannot do their work.

        Args:
            weights: the sparse parameters, which it holds.

        Raises:
            ValueError: says what it lacks.
        """

    def due(self, step: int, total_steps: int | None) -> bool:
        """Whether units move right after optimizer step ``step`` (1 is the first)."""
        return False

    def options(self) -> dict[str, Any]:
        """The hyper-parameters as JSON values, for configuration files and checkpoints."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


@dataclass(frozen=True)
class SparseMethod(Method):
    """A method that holds a fixed fraction of the weights at zero.

    Args:
        sparsity: fraction of zeros over the sparse layers, in [0, 1), taken as the decimal it
            prints as: 0.9 of 1,000 weights leaves exactly 100.
    """

    sparsity: float = 0.9  # type: ignore[misc]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "sparsity", low=0, below=1)


@dataclass(frozen=True)
class DynamicMethod(SparseMethod):
    """A sparse method that moves units during training.

    Args:
        period: optimizer steps between reallocations. None: the DSR paper's 100, 200, 400 and 800
            in the four quarters of training, shortened for training below 5,000 steps.
        stop: fraction of ``total_steps`` after which units stay where they are (the authors' code
            stops at 190 of 200 and 95 of 100 epochs; the paper does not say so). None: never.
    """

    period: int | None = None
    stop: float | None = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.period is not None:
            check_integer(self, "period", low=1)
        if self.stop is not None:
            check_number(self, "stop", low=0, high=1)

    @property
    def needs_total_steps(self) -> bool:
        return self.period is None or self.stop is not None

    def due(self, step: int, total_steps: int | None) -> bool:
        if total_steps is not None and step >= total_steps:
            return False
        if self.stop is not None and total_steps is not None and step > self.stop * total_steps:
            return False
        if self.period is not None:
            return step % self.period == 0
        if total_steps is None:
            raise ValueError("total_steps: needed where period is None")
        return step % reallocation_periods(total_steps).at(step, total_steps) == 0


GRANULARITIES = ("element", "kernel")

M = TypeVar("M", bound=type[Method])
METHODS: dict[str, type[Method]] = {}


def register_method(name: str) -> Callable[[M], M]:
    """Class decorator that makes a method known by name in ``METHODS``.

    Raises:
        ValueError: the name is taken.
    """

    def register(cls: M) -> M:
        if not (isinstance(cls, type) and issubclass(cls, Method)):
            raise TypeError(f"register_method: expected a subclass of dsr.Method, got {cls!r}")
        if "__dataclass_fields__" not in cls.__dict__:
            raise TypeError(f"register_method: {cls.__name__} needs @dataclass(frozen=True)")
        if METHODS.get(name, cls) is not cls:
            raise ValueError(f"register_method: {name!r} is taken by {METHODS[name].__name__}")
        METHODS[name] = cls
        return cls

    return register


def check_number(
    method: Method,
    name: str,
    low: float = -math.inf,
    high: float = math.inf,
    below: float = math.inf,
) -> None:
    """Refuse a field that is not a finite number in [low, high] and under ``below``."""
    value = plain_number(getattr(method, name))
    if value is None:
        raise TypeError(f"{name}: expected a number, got {getattr(method, name)!r}")
    object.__setattr__(method, name, value)
    if not math.isfinite(value) or not low <= value <= high or value >= below:
        top = f"{below:g})" if below < math.inf else (f"{high:g}]" if high < math.inf else "inf)")
        raise ValueError(f"{name}: expected a number in [{low:g}, {top}, got {value!r}")


def plain_number(value: object) -> int | float | None:
    """A number as an int or a float, one of NumPy as the decimal it prints as; None: not one."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    if isinstance(value, numbers.Rational):
        return int(value.numerator) if value.denominator == 1 else float(value)
    return value if type(value) is float else float(str(value))


def check_integer(method: Method, name: str, low: int) -> None:
    """Refuse a field that is not an int of at least ``low``."""
    value = getattr(method, name)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: expected an int, got {value!r}")
    object.__setattr__(method, name, int(value))
    if value < low:
        raise ValueError(f"{name}: expected an int of at least {low}, got {value}")


def check_bool(method: Method, name: str) -> None:
    """Refuse a field that is neither True nor False."""
    if not isinstance(getattr(method, name), bool):
        raise TypeError(f"{name}: expected True or False, got {getattr(method, name)!r}")


def check_choice(method: Method, name: str, choices: Sequence[str]) -> None:
    """Refuse a field that is none of ``choices``."""
    value = getattr(method, name)
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
