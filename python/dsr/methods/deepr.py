"""DeepR: deep rewiring."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from dsr.methods.base import (
    SparseMethod,
    check_bool,
    check_choice,
    check_number,
    plain_number,
    register_method,
)
from dsr.methods.protocol import ComingStep, Rules
from dsr.methods.rules import BySize, RandomGrowth, RandomSignGrowth, SignFlips
from dsr.methods.schedules import PAPER_STARTS, Stepwise
from dsr.methods.soft_rewiring import SMALLEST_FLOOR, START_DEVIATION, WakeUp
from dsr_kernels import add_noise_, prune_sign_flips_

CONSTRAINTS = ("layer", "global")


@register_method("deepr")
@dataclass(frozen=True)
class DeepR(SparseMethod):
    """Deep rewiring: noisy steps; a weight that changes its sign is replaced by a random one.

    Source: Bellec, Kappel, Maass and Legenstein, "Deep rewiring: training very sparse deep
    networks", 2018; here as the DSR paper's authors rewrote it to compare with.

    Before every optimizer step until ``stop``, normal noise of standard deviation
    sqrt(2 eta T) goes onto the gradients of active weights, behind clipping. After it, each
    active weight whose sign the step has changed is pruned and as many grow at random, at 0 and
    with cleared optimizer state. A weight of exactly 0, such as one just grown, has no sign until
    a step moves it.

    Args:
        sparsity: fraction of zeros over the sparse layers, in [0, 1).
        l1: coefficient of the L1 term in ``sparse.penalty()``; paper and authors' code have 1e-5.
        eta: step size in the noise's formula; 0.01 in the authors' runs.
        temperatures: T, one for each stretch of training; the authors' values.
        temperature_starts: the fraction of training at which each begins; the quarters, as for
            ResNet-50. For WRN-28-2 the authors have (0, 0.125, 0.4, 0.7).
        stop: fraction of training after which there is neither noise nor movement; the authors'
            code has 0.95. None: never.
        constraint: "layer": each layer regrows as many as it lost; "global": what all lost is
            split in proportion to the layers' sizes, as in a variant of the original code.
        soft: the original's soft variant. Inactive weights sleep: each has a value of its own and
            moves by the noise alone, until that takes it past 0 and it wakes. So as many wake as
            do: the number of active weights is not fixed, ``stats().budget`` is None, and
            ``sparsity`` is that of the start and the one that noise and L1 would keep if there
            were no loss. Needs both above 0, ``sparse.penalty()`` in the loss, and a float32 a
            weight of memory more; made for one temperature: ``temperatures=(1e-5,)``,
            ``temperature_starts=(0,)``.
        random_signs: a weight grows at 1e-12 with a random sign, and is pruned again if its first
            step goes the other way, as in the original; False: it grows at 0 and takes the sign
            of its first step, as in the DSR authors' code.

    Where the three differ: the paper gives every connection a fixed random sign, puts the noise
    onto the parameter, scaled by the step size alone, and revives connections at 1e-12; the DSR
    authors' code puts it onto the gradient, so that it goes through the learning rate and
    Nesterov momentum. Here it is as in that code, but for a bug: it compares the first step with
    signs of weights drawn before the model drew them anew, which prunes half of them. With
    ``random_signs``, one temperature and an optimizer without momentum, the step is that of the
    original's hard variant (0.5 and noise of 1e-5 there); its signs stay with a position for
    ever, here until it is pruned. The global variant of the original draws a layer for each
    connection, in proportion to the layers' initial active weights; here the shares are exact.

    With ``soft`` signs stay with a position for ever, as in the original, but where a 16-bit weight
    is too small a number to have one. No dormant value falls
    below a floor: s / (1 - s) * lr * noise^2 / (2 * l1), with the first temperature's noise and the
    sparsity s of the layer at the start. That is the rule of thumb of the original's code, which
    counts on one temperature only. Its values start
    uniform between the floor and 0; here half-normal with the same density at 0.
    """

    l1: float = field(default=1e-5, kw_only=True)
    eta: float = 0.01
    temperatures: tuple[float, ...] = (1e-5, 1e-8, 1e-12, 1e-15)
    temperature_starts: tuple[float, ...] = PAPER_STARTS
    stop: float | None = 0.95
    constraint: str = "layer"
    random_signs: bool = False
    soft: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "eta", low=0)
        self._check_numbers("temperatures")
        self._check_numbers("temperature_starts")
        if len(self.temperatures) != len(self.temperature_starts):
            raise ValueError(
                f"temperature_starts: expected one for each of {len(self.temperatures)} "
                f"temperatures, got {len(self.temperature_starts)}"
            )
        rising = sorted({0, *self.temperature_starts})
        if list(self.temperature_starts) != rising or rising[-1] > 1:
            raise ValueError(
                "temperature_starts: expected rising fractions from 0 to at most 1, got "
                f"{self.temperature_starts}"
            )
        if self.stop is not None:
            check_number(self, "stop", low=0, high=1)
        check_choice(self, "constraint", CONSTRAINTS)
        check_bool(self, "random_signs")
        check_bool(self, "soft")
        if self.soft:
            self._check_soft()

    def _check_soft(self) -> None:
        """Refuse what the soft variant has no floor with, or cannot be combined with."""
        above_0 = {"sparsity": self.sparsity, "l1": self.l1, "eta": self.eta}
        above_0["temperatures"] = self.temperatures[0]
        for name, value in above_0.items():
            if value == 0:
                raise ValueError(f"{name}: expected a number above 0 with soft, got {value!r}")
        if not SMALLEST_FLOOR < self.dormant_floor < 1 / SMALLEST_FLOOR:
            raise ValueError(
                f"l1: expected eta * temperature / l1 in ({SMALLEST_FLOOR:g}, "
                f"{1 / SMALLEST_FLOOR:g}) with soft, got {self.dormant_floor:g}"
            )
        if self.random_signs or self.constraint != "layer":
            raise ValueError(
                "soft: signs and layers of what grows are its own; leave random_signs and "
                "constraint at their defaults"
            )

    def _check_numbers(self, name: str) -> None:
        """Refuse what is no sequence of numbers of at least 0; make a tuple of a list."""
        values = getattr(self, name)
        expected = f"{name}: expected a tuple of numbers"
        if not isinstance(values, (tuple, list)):
            raise TypeError(f"{expected}, got {values!r}")
        numbers = [number for value in values if (number := plain_number(value)) is not None]
        if len(numbers) < len(values):
            raise TypeError(f"{expected}, got {values!r}")
        if not numbers or not all(0 <= number < math.inf for number in numbers):
            raise ValueError(f"{expected} of at least 0, got {values!r}")
        object.__setattr__(self, name, tuple(numbers))

    @property
    def has_budget(self) -> bool:
        return not self.soft

    @property
    def needs_total_steps(self) -> bool:
        return self.stop is not None or len(self.temperatures) > 1

    def due(self, step: int, total_steps: int | None) -> bool:
        if total_steps is None:
            return True
        return step < total_steps and (self.stop is None or step <= self.stop * total_steps)

    def noise_at(self, step: int, total_steps: int | None) -> float:
        """The standard deviation of the noise on the gradients of ``step`` (1 is the first)."""
        temperature = self.temperatures[0]
        if len(self.temperatures) > 1:
            if total_steps is None:
                raise ValueError("total_steps: needed where there is more than one temperature")
            steps = Stepwise(self.temperatures, self.temperature_starts)
            temperature = steps.at(step, total_steps)
        return math.sqrt(2 * self.eta * temperature)

    @property
    def dormant_floor(self) -> float:
        """How far a dormant value of ``soft`` may fall at a learning rate of 1 and sparsity .5."""
        return self.eta * self.temperatures[0] / self.l1

    def rules(self, budget: int) -> Rules:
        if self.soft:
            return Rules(
                prune=SignFlips(),
                grow=WakeUp(self.noise_at, self.dormant_floor),
                before_step=GradientNoise(self),
                dormant_start=START_DEVIATION,
            )
        return Rules(
            prune=SignFlips(),
            grow=RandomSignGrowth() if self.random_signs else RandomGrowth(),
            redistribute=BySize() if self.constraint == "global" else None,
            before_step=GradientNoise(self),
        )


@dataclass(frozen=True)
class GradientNoise:
    """Note the weights' signs, then add noise to the gradients of active weights."""

    method: DeepR

    def apply(self, coming: ComingStep) -> None:
        c, signs = coming, coming.signs
        if not self.method.due(c.step, c.total_steps):
            return
        # With empty masks nothing is pruned, and they get the signs of now: whatever changed the
        # weights since the last step, such as loading a checkpoint, is no flip.
        signs.positive.words.zero_()
        signs.negative.words.zero_()
        prune_sign_flips_(c.weights, c.mask, *signs, zero=False)
        noise = self.method.noise_at(c.step, c.total_steps)
        if noise == 0:
            return
        scale = torch.full((len(c.weights),), noise, device=c.mask.device)
        if c.gradient_scale is not None:
            scale *= c.gradient_scale
        number = torch.full((1,), c.step, device=c.mask.device)
        add_noise_(c.gradients, c.mask, scale, seed=c.seed, counter=number, layers=c.layers)
