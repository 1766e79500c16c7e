"""Growth of soft DeepR: what sleeps moves by noise, and wakes when that takes it past 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dsr.methods.protocol import Reallocation
from dsr_kernels import BitMask, Purpose, add_noise_, apply_mask_, prune_sign_flips_

# Normal numbers of this deviation are as dense at 0 as uniform ones in [-1, 1] are.
START_DEVIATION = 0.8
SMALLEST_FLOOR = 2.0**-100  # at a learning rate of 0 nothing is divided by 0


@dataclass(frozen=True)
class WakeUp:
    """Take a step of every dormant value's random walk; what passes through 0 grows.

    A connection is its sign times a number: the weight if that is positive, and if it is negative
    it sleeps. So the weight that has changed its sign, negated, is what a connection falls asleep
    with, and a dormant value that has, negated, the weight it wakes with. Dormant values are kept
    as multiples of the floor below which none falls. The learning rate is a factor of both: where
    it changes, they stay where they are.

    Args:
        noise_at: standard deviation of the noise on the gradients of a step, from its number and
            the total.
        floor: of the dormant values at a learning rate of 1, in a layer of which half is active at
            the start; in others it is times the odds, so that as many stay asleep.
    """

    noise_at: Callable[[int, int | None], float]
    floor: float

    def apply(self, reallocation: Reallocation, counts: Tensor) -> Tensor:
        r = reallocation
        if r.dormant is None:
            raise RuntimeError("WakeUp: expected rules with a dormant_start")
        values, slept = r.dormant.values, r.dormant.inactive(r.previous)
        sleeping = slept.clone()
        floors = [self.floor * odds for odds in r.dormant.odds()]
        rates = r.learning_rates()  # before anything changes, as a weight may have none by now
        woken = self._walk(r, values, sleeping, floors)
        r.mask.words.bitwise_or_(slept.words & ~sleeping.words)
        with torch.no_grad():
            lowest = [rate * floor for rate, floor in zip(rates, floors, strict=True)]
            _exchange(r.weights, values, lowest)
        apply_mask_(values, r.dormant.inactive(r.mask))
        return woken

    def _walk(
        self,
        r: Reallocation,
        values: Sequence[Tensor],
        sleeping: BitMask,
        floors: Sequence[float],
    ) -> Tensor:
        """A step of each walk. ``sleeping`` loses what wakes; returns how many a layer."""
        layout, device = sleeping.layout, sleeping.device
        signs = BitMask.zeros(layout, device), BitMask.zeros(layout, device)
        prune_sign_flips_(values, sleeping, *signs, zero=False)  # notes the signs
        noise = self.noise_at(r.step, r.total_steps)
        scale = torch.tensor([noise / floor for floor in floors], dtype=torch.float32)
        add_noise_(
            values,
            sleeping,
            scale.to(device, non_blocking=True),
            seed=r.seed,
            counter=r.number,
            purpose=Purpose.DORMANT_NOISE,
        )
        woken, _, _ = prune_sign_flips_(values, sleeping, *signs, zero=False)
        return woken


def _exchange(
    weights: Sequence[Tensor], values: Sequence[Tensor], floors: Sequence[float | Tensor]
) -> None:
    """Hand over what fell asleep and what woke; masks then clear what the other side has.

    A weight is 0 where its connection slept before, a dormant value where it was awake: each takes
    over without a look at any mask.
    """
    for weight, value, floor in zip(weights, values, floors, strict=True):
        if isinstance(floor, Tensor):
            floor = floor.clamp(min=SMALLEST_FLOOR)
        else:
            floor = max(floor, SMALLEST_FLOOR)
        asleep_at = weight.float() / floor
        weight.sub_(value * floor)
        value.sub_(asleep_at).clamp_(-1, 1)
