"""How providers are timed: in turns, each call by itself, what a call changed put back between."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from benchmarks.case import Case, Provider, WrongResultError
from benchmarks.graphs import WaitsForDeviceError, capture_works, graph_seconds, refuse_waiting

MIN_CALLS = 3
SURE = ("ours", "copy")  # kinds that never wait for the device
_broken_captures: list[str] = []  # no graph is captured after one that broke capturing
SLOW_SECONDS = 5.0  # a first call that takes longer is the only one
MAX_CALLS = 100
WALL_FACTOR = 5  # time with putting back may be this many times the time measured
STAYS_IN_CACHE_BYTES = 1 << 25
EVICTING_BYTES = {"cpu": 1 << 26, "cuda": 1 << 28}


@dataclass
class Measurement:
    """All timings of one provider, in seconds; or why there are none."""

    provider: Provider
    seconds: list[float] = field(default_factory=list)
    wall: float = 0.0
    error: str = ""
    graph_seconds: list[float] = field(default_factory=list)
    no_graph: str = ""  # why no graph can hold it; empty where it has one or none was tried

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def iqr(self) -> float:
        if len(self.seconds) < 2:
            return 0.0
        quarters = statistics.quantiles(self.seconds, n=4)
        return quarters[2] - quarters[0]

    @property
    def tenths(self) -> tuple[float, float]:
        """The first and the last tenth of the sorted timings end here."""
        if len(self.seconds) < 2:
            return self.median, self.median
        edges = statistics.quantiles(self.seconds, n=10, method="inclusive")
        return edges[0], edges[-1]

    @property
    def on_device(self) -> float:
        """Median of the device's own time, where it was taken, else of the caller's."""
        return statistics.median(self.graph_seconds or self.seconds)

    def wants_more(self, budget: float) -> bool:
        calls = len(self.seconds)
        if self.error or calls >= MAX_CALLS:
            return False
        if calls == 1 and self.median > SLOW_SECONDS:
            return False
        spent = sum(self.seconds) >= budget or self.wall >= WALL_FACTOR * budget
        return calls < MIN_CALLS or not spent


def median_interval(seconds: Sequence[float]) -> tuple[float, float]:
    """95 % for the median of six or more, however distributed: two of the sorted timings."""
    ordered, count = sorted(seconds), len(seconds)
    reach = 0.98 * math.sqrt(count)  # 1.96 standard deviations of how many lie below it
    low = max(0, math.floor(count / 2 - reach))
    return ordered[low], ordered[count - 1 - low]


def time_case(case: Case, budget: float, device: torch.device) -> list[Measurement]:
    """Time every provider of a case for about ``budget`` seconds each.

    They take turns, so that a slow minute of the machine slows all of them. Where the weights of
    the net do not stay in cache during training, the caches are emptied before each call.
    """
    evict = Evictor(device, case.copied_bytes > STAYS_IN_CACHE_BYTES)
    measurements = [_warmed(provider, device, case.weights) for provider in case.providers]
    gc.collect()
    gc.disable()
    try:
        while waiting := [m for m in measurements if m.wants_more(budget)]:
            _take_turns(waiting, evict, device)
    finally:
        gc.enable()
    if device.type == "cuda" and case.on_device:
        # Ours and the copy first: after a capture that fails there is none.
        for measurement in sorted(measurements, key=lambda m: m.provider.kind not in SURE):
            _replay(measurement, evict, budget)
    return measurements


def _replay(measurement: Measurement, evict: Evictor, budget: float) -> None:
    """Time graph replays; a provider that cannot be captured has none."""
    if measurement.error or _broken_captures:
        return
    try:
        if measurement.provider.kind not in SURE:
            refuse_waiting(measurement.provider)
        measurement.graph_seconds = graph_seconds(measurement.provider, evict, budget)
    except (WaitsForDeviceError, WrongResultError) as error:
        measurement.no_graph = str(error)
    except Exception as error:  # whatever a baseline raises
        measurement.no_graph = (str(error).splitlines() or [type(error).__name__])[0]
        # A capture that failed can leave PyTorch's generator and allocator in its middle.
        if not capture_works():
            _broken_captures.append(measurement.provider.name)
    if measurement.no_graph:
        print(f"{measurement.provider.name}: no graph replay: {measurement.no_graph}")


def _warmed(provider: Provider, device: torch.device, weights: int) -> Measurement:
    """Run once and check the result: a provider that is wrong is not timed."""
    measurement = Measurement(provider)
    most = provider.most_weights
    if most is not None and weights > most:
        measurement.error = f"not timed above {most:,} weights: its host takes minutes a call"
        return measurement
    try:
        _wait(device)
        start = time.perf_counter()
        result = provider.run()
        _wait(device)
        seconds = time.perf_counter() - start
        if provider.check is not None:
            provider.check(result)
        if seconds > SLOW_SECONDS and provider.kind != "compiled":  # which compiled meanwhile
            measurement.seconds.append(seconds)
    except Exception as error:  # whatever a baseline raises becomes its row
        measurement.error = said_by(error)
    if provider.restore is not None:
        provider.restore()
    return measurement


def _take_turns(waiting: Sequence[Measurement], evict: Evictor, device: torch.device) -> None:
    for measurement in waiting:
        provider = measurement.provider
        begin = time.perf_counter()
        evict()
        _wait(device)
        start = time.perf_counter()
        try:
            result = provider.run()
            _wait(device)
        except Exception as error:  # it ran once: memory may have become short
            measurement.error = said_by(error)
            result = None
        stop = time.perf_counter()
        del result
        if provider.restore is not None:
            provider.restore()
        measurement.seconds.append(stop - start)
        measurement.wall += time.perf_counter() - begin


def said_by(error: Exception) -> str:
    """An error's kind and the first line of what it says."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".strip(": ")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Evictor:
    """Fills the caches with something else."""

    def __init__(self, device: torch.device, wanted: bool) -> None:
        size = EVICTING_BYTES[device.type] if wanted else 0
        self.buffer = torch.empty(size, dtype=torch.uint8, device=device)

    def __call__(self) -> None:
        self.buffer.add_(1)
