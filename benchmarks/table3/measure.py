"""What one row of Table 3 measures: three trainings in turns, and one reallocation by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.table3.methods import Setting
from benchmarks.table3.paired import (
    Budget,
    interval,
    paired_blocks,
    reallocation_seconds,
    seconds_of,
)
from benchmarks.table3.training import Dense, Training, memory_of, training

REALLOCATIONS = 10  # timed by themselves
FIRST_STEPS = 2  # where every step reallocates: the second shows what one costs
LEAST_RUNS = 12  # a block of such steps takes at most this part of the row's time
Row = dict[str, Any]


@dataclass
class Built:
    """A training that has run, the peak in MiB of what it took (GPU only), its last step's time."""

    training: Training
    peak_mib: float | None
    step_seconds: float


def measure(
    setting: Setting,
    method: str,
    implementation: str,
    device: torch.device,
    blocks: int,
    steps: int,
    seconds: float | None = None,
) -> Row:
    """The measured fields of a row.

    Args:
        blocks, steps: pairs of blocks, and steps of a block, at most.
        seconds: what the row may take, about; fewer blocks then, but at least two. None: no limit.
    """
    budget = Budget(seconds)
    every_step = setting.periods[method] == 1
    first = FIRST_STEPS if every_step and seconds is not None else steps
    period = 1 if every_step else steps
    dense = _build(partial(Dense, setting, device), first, device)
    make = partial(training, implementation, setting, device, method)
    still, moving = (_build(partial(make, each), first, device) for each in (None, period))
    if every_step and seconds is not None:
        steps = max(1, min(steps, int(seconds / LEAST_RUNS / moving.step_seconds)))
    trainings = [moving.training, still.training, dense.training]
    times = paired_blocks(trainings, blocks, steps, budget)
    row = _ratios(times, steps, steps // period * setting.periods[method])
    row |= {"peak_mib": moving.peak_mib, "dense_peak_mib": dense.peak_mib}
    # Ours is judged by this; an authors' row whose time is over does without.
    if period > 1 and (implementation == "ours" or not budget.spent(1)):
        count = min(REALLOCATIONS, 2 * blocks)
        alone = reallocation_seconds(moving.training, period, count, budget)
        row["reallocation_ms"] = 1e3 * alone
        row["overhead"] = alone / setting.periods[method] / (row["step_ms"] / 1e3)
    rounded = {name: float(f"{value:.7g}") for name, value in row.items() if value is not None}
    return rounded | {"blocks": len(times[0]), "steps": steps}


def _ratios(times: list[list[float]], steps: int, scale: int) -> Row:
    """``times`` of moving, still and dense; a block stands for ``scale``."""
    with_seconds, without_seconds, dense_seconds = times
    step = sum(without_seconds) / (len(without_seconds) * steps)
    pairs = zip(with_seconds, without_seconds, strict=True)
    # What one reallocation adds, spread over the paper's period of steps.
    ratios = interval([1 + (moved - stayed) / scale / step for moved, stayed in pairs])
    of_dense = interval([w / d for w, d in zip(without_seconds, dense_seconds, strict=True)])
    return {
        "step_ms": 1e3 * step,
        "of_dense": of_dense.mean,
        "of_dense_low": of_dense.low,
        "of_dense_high": of_dense.high,
        "ratio": ratios.mean,
        "ratio_low": ratios.low,
        "ratio_high": ratios.high,
    }


def _build(make: Callable[[], Training], steps: int, device: torch.device) -> Built:
    before = memory_of(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    made = make()
    seconds_of(made, steps - 1)
    last = seconds_of(made, 1)
    if device.type != "cuda":
        return Built(made, None, last)
    return Built(made, (torch.cuda.max_memory_allocated(device) - before) / 2**20, last)
