"""Which providers are replayed from a CUDA graph, as far as that can be seen without a GPU."""

import pytest
import torch

from benchmarks import graphs, report, timing
from benchmarks.case import Case, Provider

CPU = torch.device("cpu")


@pytest.fixture
def modes(monkeypatch):
    """The sync debug modes set, where an error in one is what `wait` raises."""
    found = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *args: None)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", found.append)
    monkeypatch.setattr(timing, "_broken_captures", [])
    return found


def measured(case, monkeypatch, seconds):
    monkeypatch.setattr(
        timing, "graph_seconds", lambda provider, evict, budget: [seconds[provider.name]]
    )
    measurements = timing.time_case(case, 1e-6, CPU)
    evict = timing.Evictor(CPU, False)
    for measurement in measurements:
        timing._replay(measurement, evict, 0.1)
    return report.rows_of(case, measurements)


def test_whatever_does_not_wait_for_the_device_is_replayed(modes, monkeypatch, capsys):
    restored = []

    def wait():
        if modes and modes[-1] == graphs.ERROR:
            raise RuntimeError("called a synchronizing CUDA operation")

    case = Case(
        "op", "net", 0.9, 100, 4000,
        (
            Provider("dsr", "ours", lambda: None),
            Provider("good", "eager", lambda: None),
            Provider("waits", "eager", wait, lambda: restored.append(modes[-1:])),
            Provider("copy", "copy", lambda: None),
        ),
    )  # fmt: skip
    seconds = {"dsr": 1e-5, "good": 4e-5, "copy": 2e-5}
    ours, good, waits, copy = measured(case, monkeypatch, seconds)
    assert [row.get("graph_us") for row in (ours, good, waits, copy)] == [10, 40, None, 20]
    assert [row.get("graph_speedup") for row in (ours, good, waits, copy)] == [1, 4, None, 2]
    assert (good["graph_speedup_low"], good["graph_speedup_high"]) == (4, 4)
    assert waits["median_us"] >= 0
    assert not waits["error"]
    assert restored[-1] == [graphs.IGNORE]
    assert modes[-1] == graphs.IGNORE
    assert "waits: no graph replay: called a synchronizing" in capsys.readouterr().out


@pytest.mark.parametrize("works", [True, False])
def test_after_a_capture_that_broke_capturing_there_is_none(works, modes, monkeypatch, capsys):
    def broken(provider, evict, budget):
        raise RuntimeError("capture failed")

    monkeypatch.setattr(timing, "graph_seconds", broken)
    measurement = timing.Measurement(Provider("dsr", "ours", lambda: None), [1.0])
    evict = timing.Evictor(CPU, False)
    monkeypatch.setattr(timing, "capture_works", lambda: works)
    timing._replay(measurement, evict, 0.1)
    monkeypatch.setattr(timing, "graph_seconds", lambda provider, evict, budget: [1.0])
    timing._replay(measurement, evict, 0.1)
    assert measurement.graph_seconds == ([1.0] if works else [])
    assert "dsr: no graph replay: capture failed" in capsys.readouterr().out


@pytest.mark.parametrize(("count", "ranks"), [(3, (1, 3)), (20, (6, 15)), (100, (41, 60))])
def test_the_medians_interval_is_that_of_the_sorted_timings(count, ranks):
    seconds = [float(i) for i in range(count, 0, -1)]
    assert timing.median_interval(seconds) == ranks
    below = torch.distributions.Binomial(count, 0.5)
    inside = below.log_prob(torch.arange(ranks[0], ranks[1]).double()).exp().sum()
    assert inside > 0.94 or count == 3


def test_slow_providers_are_replayed_less_often():
    assert not graphs.enough([], 0.1)
    assert not graphs.enough([0.2, 0.2], 0.1)
    assert graphs.enough([0.2, 0.2, 0.2], 0.1)
    assert graphs.enough([1.7], 0.1)
    assert not graphs.enough([1e-5] * 19, 0.1)
    assert graphs.enough([1e-5] * 20, 0.1)
