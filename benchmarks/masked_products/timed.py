"""Times forward and backward of every way at a place, in turns."""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

import dsr_kernels
from benchmarks.masked_products.ways import Steps, Way
from benchmarks.timing import Evictor

MIN_CALLS = 3
MAX_CALLS = 50
SLOW_SECONDS = 0.5  # a first call that takes longer is the only one
# The device sleeps while the host queues a step, so that no launch is waited for.
SLEEP_CYCLES = 500_000


@dataclass
class Timed:
    """All timings of one way in seconds, or why there are none.

    ``forward`` and ``backward`` are the device's; ``host`` is what the caller waited for until
    both were queued, on a GPU alone.
    """

    way: Way
    steps: Steps | None = None
    forward: list[float] = field(default_factory=list)
    backward: list[float] = field(default_factory=list)
    host: list[float] = field(default_factory=list)
    slow: bool = False
    error: str = ""

    @property
    def both(self) -> list[float]:
        return [f + b for f, b in zip(self.forward, self.backward, strict=True)]

    def wants_more(self, seconds: float) -> bool:
        calls = len(self.forward)
        if self.error or self.slow or calls >= MAX_CALLS:
            return False
        return calls < MIN_CALLS or sum(self.both) < seconds

    def fields(self) -> dict[str, object]:
        """Columns of its row."""
        row: dict[str, object] = {"calls": len(self.forward), "error": self.error}
        if self.error:
            return row
        for name in ("forward", "backward", "both", "host"):
            values = getattr(self, name)
            if values:
                row[f"{name}_us"] = round(1e6 * statistics.median(values), 2)
        if len(self.both) > 1:
            quarters = statistics.quantiles(self.both, n=4)
            row["both_iqr_us"] = round(1e6 * (quarters[2] - quarters[0]), 2)
        return row


def time_ways(
    ways: Sequence[tuple[Way, Steps | Exception]], seconds: float, device: torch.device
) -> list[Timed]:
    """Time every way for about ``seconds``; one that fails or is wrong has an error instead."""
    evict = Evictor(device, device.type == "cuda")
    timed = [_first(way, steps, device) for way, steps in ways]
    gc.disable()
    try:
        while waiting := [t for t in timed if t.wants_more(seconds)]:
            for one in waiting:
                evict()
                _call(one, device)
    finally:
        gc.enable()
    return timed


def _first(way: Way, steps: Steps | Exception, device: torch.device) -> Timed:
    """Run once and check."""
    timed = Timed(way)
    try:
        if isinstance(steps, Exception):
            raise steps
        timed.steps = steps
        results = _call(timed, device)
        steps.layer.check(*results)
        if device.type == "cuda":  # the first call has waited for kernels to be compiled
            _call(timed, device)
        timed.slow = timed.both[-1] > SLOW_SECONDS and way.kind != "compiled"
    except Exception as error:  # whatever a baseline raises becomes its row
        lines = str(error).strip().splitlines() or [""]
        timed.error = f"{type(error).__name__}: {lines[0]}".strip(": ")
    for values in (timed.forward, timed.backward, timed.host):
        del values[: -1 if timed.slow else None]
    return timed


def _call(timed: Timed, device: torch.device) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
    steps, backend = timed.steps, timed.way.backend
    assert steps is not None
    clock = _cuda_clock if device.type == "cuda" else _cpu_clock
    with dsr_kernels.backend(backend) if backend else contextlib.nullcontext():
        return clock(timed, steps)


def _cpu_clock(timed: Timed, steps: Steps) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
    start = time.perf_counter()
    output = steps.forward()
    middle = time.perf_counter()
    grads = steps.backward(output)
    stop = time.perf_counter()
    timed.forward.append(middle - start)
    timed.backward.append(stop - middle)
    return output, grads


def _cuda_clock(timed: Timed, steps: Steps) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
    events = [torch.cuda.Event(enable_timing=True) for _ in range(3)]
    torch.cuda.synchronize()
    torch.cuda._sleep(SLEEP_CYCLES)
    start = time.perf_counter()
    events[0].record()
    output = steps.forward()
    events[1].record()
    grads = steps.backward(output)
    events[2].record()
    timed.host.append(time.perf_counter() - start)
    torch.cuda.synchronize()
    timed.forward.append(events[0].elapsed_time(events[1]) / 1e3)
    timed.backward.append(events[1].elapsed_time(events[2]) / 1e3)
    return output, grads
