"""The device's own time for a provider: its launches captured in a CUDA graph and replayed."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.case import Provider

REPLAYS = 20
# The device sleeps while the host queues the replay, so that no launch is waited for.
SLEEP_CYCLES = 200_000


def graph_seconds(provider: Provider, evict: Callable[[], None]) -> list[float]:
    """Seconds of each of ``REPLAYS`` replays, between events on the device.

    Before each, what the last one changed is put back and the caches are emptied.

    Args:
        provider: has run before, so that all its tables exist; must not wait for the device.
        evict: empties the caches.

    Raises:
        RuntimeError: it cannot be captured.
    """
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        held = provider.run()
    seconds = []
    for _ in range(REPLAYS):
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
