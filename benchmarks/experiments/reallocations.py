"""What one reallocation costs, and resuming: `python -m benchmarks.experiments.reallocations`.

Each method trains LeNet-300-100 on the digits at sparsity .98. Every reallocation is timed where it
happens, on one thread, and the median taken. Processor time, not time on the clock: what else a
machine does is left out. Then the same run once more, stopped half way and resumed from its files:
its weights and masks have to end equal to the bit.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd

from benchmarks.experiments.grids import RANDOM_START, SPARSITY, settings_of
from dsr import sparsifier
from dsr.experiments import RunConfig, run
from dsr.experiments.folder import Row, RunFolder
from dsr.experiments.options import own_options
from dsr.methods import METHODS

RESULTS = Path(__file__).parents[1] / "results" / "experiments"
NAMES = ("dense", "compressed", "snip", *RANDOM_START)
PERIOD = 5


def main() -> None:
    """Measure every method and write ``reallocations.csv``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    epochs = parser.parse_args().epochs
    rows = [measure(name, epochs) for name in NAMES]
    pd.DataFrame(rows).to_csv(RESULTS / "reallocations.csv", index=False)


def measure(name: str, epochs: int) -> dict[str, Any]:
    """Train with one method, time its reallocations, and resume it.

    Args:
        name: of a method in the tables.
        epochs: to train for, an even number.

    Returns:
        ``method``, ``reallocations``, their median ``ms`` in milliseconds ("-" without any), and
        whether it ``resumes`` to the bit, "yes" or "no".
    """
    own = settings_of(name)
    options = dict(own.get("options", {}))
    if "period" in own_options(METHODS[own["method"]]):
        options["period"] = PERIOD
    sparsity = {} if name == "dense" else {"sparsity": SPARSITY}
    config = RunConfig(
        method=own["method"], epochs=epochs, device="cpu", options=options, **sparsity
    )
    with tempfile.TemporaryDirectory() as folder:
        whole, halves = Path(folder) / "whole", Path(folder) / "halves"
        times = _times(config, whole)
        with contextlib.suppress(_StoppedError):
            run(config, halves, checkpoint_every=epochs // 2, progress=_stop_behind(epochs // 2))
        run(config, halves, resume=True)
        resumes = _final(whole) == _final(halves)
    return {
        "method": name,
        "reallocations": len(times),
        "ms": round(statistics.median(times), 3) if times else "-",
        "resumes": "yes" if resumes else "no",
    }


def _times(config: RunConfig, out: Path) -> list[float]:
    """Milliseconds of each reallocation of a run."""
    times: list[float] = []
    original = sparsifier.reallocate

    def timed(*arguments: Any, **settings: Any) -> Any:
        start = time.thread_time()
        counts = original(*arguments, **settings)
        times.append(1000 * (time.thread_time() - start))
        return counts

    with mock.patch.object(sparsifier, "reallocate", timed):
        run(config, out)
    return times


class _StoppedError(Exception):
    """Ends a run between two checkpoints."""


def _stop_behind(epoch: int) -> Callable[[Row], None]:
    def progress(row: Row) -> None:
        if row["epoch"] > epoch:
            raise _StoppedError

    return progress


def _final(out: Path) -> dict[str, bytes]:
    """The files of a run's last checkpoint: weights, masks, momentum and counters."""
    last = max(RunFolder(out).checkpoints.glob("step-*"))
    return {file.name: file.read_bytes() for file in last.iterdir()}


if __name__ == "__main__":
    main()
