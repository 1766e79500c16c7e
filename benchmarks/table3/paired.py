"""Paired blocks of training steps: with and without reallocation in turns, and what they tell."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmarks.table3.training import Training

# Two-sided 95 % points of Student's t for 1 to 30 degrees of freedom.
STUDENT = (
    12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
WARM_UP_BLOCKS = 3  # DSR's threshold finds its size meanwhile
LEAST_BLOCKS = 2  # for an interval
WARM_UP_SHARE, BLOCKS_SHARE = 0.25, 0.8  # of a row's time, if it is limited, spent until then


class Budget:
    """The time that a row may take from now on; without ``seconds`` it never ends."""

    def __init__(self, seconds: float | None = None) -> None:
        self._begin = time.monotonic()
        self._seconds = math.inf if seconds is None else seconds

    def spent(self, share: float) -> bool:
        """Whether that share of it is over."""
        return time.monotonic() - self._begin > share * self._seconds


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % confidence interval."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float]) -> Interval:
    """Student's interval for the mean of at least two values."""
    count = len(values)
    mean = statistics.fmean(values)
    quantile = STUDENT[count - 2] if count - 2 < len(STUDENT) else 1.96
    half = quantile * statistics.stdev(values) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half)


def seconds_of(training: Training, steps: int) -> float:
    """Wall time of a block of steps, the device's work included."""
    _wait(training.device)
    start = time.perf_counter()
    for _ in range(steps):
        training.step()
    _wait(training.device)
    return time.perf_counter() - start


def paired_blocks(
    trainings: Sequence[Training], blocks: int, steps: int, budget: Budget
) -> list[list[float]]:
    """Seconds of ``blocks`` blocks of each training, or of as many as the budget allows.

    They take turns, and every round begins with another one, so that neither a slow minute of the
    machine nor the place in a round favours any.
    """
    for _ in range(WARM_UP_BLOCKS):
        if budget.spent(WARM_UP_SHARE):
            break
        for training in trainings:
            seconds_of(training, steps)
    times: list[list[float]] = [[] for _ in trainings]
    for number in range(blocks):
        if number >= LEAST_BLOCKS and budget.spent(BLOCKS_SHARE):
            break
        for place in range(len(trainings)):
            chosen = (place + number) % len(trainings)
            times[chosen].append(seconds_of(trainings[chosen], steps))
    return times


def reallocation_seconds(training: Training, period: int, times: int, budget: Budget) -> float:
    """Median time by which an update that reallocates is longer than one that does not.

    Over ``times`` reallocations, or as many as the budget allows.

    Only what follows the backward pass is timed, with the device idle before and after it. Where
    every step reallocates (``period`` 1) there is nothing to subtract, and the whole update counts
    against one of a static training: use the paired blocks instead.
    """
    moving, still = [], []
    for number in range(1, period * times + 1):
        training.backward()
        _wait(training.device)
        start = time.perf_counter()
        training.update()
        _wait(training.device)
        (still if number % period else moving).append(time.perf_counter() - start)
        if number % period == 0 and budget.spent(1):
            break
    return statistics.median(moving) - (statistics.median(still) if still else 0.0)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
