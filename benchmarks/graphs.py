"""The device's own time for a provider: its launches captured in a CUDA graph and replayed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from benchmarks.case import Provider

IGNORE, ERROR = "default", "error"  # of torch.cuda.set_sync_debug_mode
REPLAYS, LEAST_REPLAYS = 20, 3
SLOW_SECONDS = 1.0  # after so many even fewer replays are enough
# The device sleeps while the host queues the replay, so that no launch is waited for.
SLEEP_CYCLES = 200_000


class WaitsForDeviceError(Exception):
    """A provider's host waits for the device, so that no graph can hold it."""


def refuse_waiting(provider: Provider) -> None:
    """Run a provider once with every wait for the device an error.

    A capture that fails leaves PyTorch's generator and allocator in its middle, so that what cannot
    be captured has to be found out before.

    Raises:
        WaitsForDeviceError: it waits.
    """
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode(ERROR)
    try:
        provider.run()
    except Exception as error:
        raise WaitsForDeviceError(str(error).splitlines()[0] if str(error) else "") from error
    finally:
        torch.cuda.set_sync_debug_mode(IGNORE)
        torch.cuda.synchronize()
        if provider.restore is not None:
            provider.restore()


def capture_works() -> bool:
    """Whether random numbers and captures still work, which a failed capture may have ended."""
    graph = torch.cuda.CUDAGraph()
    try:
        torch.rand(1, device="cuda")
        with torch.cuda.graph(graph):
            torch.rand(1, device="cuda")
        graph.replay()
        torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True


def enough(seconds: Sequence[float], budget: float) -> bool:
    """Whether these replays will do."""
    spent = sum(seconds)
    least = len(seconds) >= LEAST_REPLAYS or spent >= SLOW_SECONDS
    return len(seconds) >= REPLAYS or (least and spent >= budget)


def graph_seconds(provider: Provider, evict: Callable[[], None], budget: float) -> list[float]:
    """Seconds of each of up to ``REPLAYS`` replays, between events on the device.

    Before each, what the last one changed is put back and the caches are emptied.

    Args:
        provider: has run before, so that all its tables exist; must not wait for the device.
        evict: empties the caches.
        budget: seconds to spend on replays, about.

    Raises:
        RuntimeError: it cannot be captured.
    """
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        held = provider.run()
    seconds: list[float] = []
    while not enough(seconds, budget):
        if provider.restore is not None:
            provider.restore()
        evict()
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(SLEEP_CYCLES)
        start.record()
        graph.replay()
        stop.record()
        torch.cuda.synchronize()
        seconds.append(start.elapsed_time(stop) / 1e3)
    if provider.check is not None:
        provider.check(held)
    if provider.restore is not None:
        provider.restore()
    return seconds
