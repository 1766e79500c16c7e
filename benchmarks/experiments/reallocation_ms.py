"""Processor time of a reallocation: `python -m benchmarks.experiments.reallocation_ms`.

Each method trains LeNet-300-100 on the digits at sparsity .98; every reallocation is timed where
it happens, on one thread, and the median written beside the other results. Processor time, not time
on the clock: what else a machine does is left out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd

from benchmarks.experiments.grids import RANDOM_START
from dsr import sparsifier
from dsr.experiments import RunConfig, run
from dsr.experiments.options import own_options
from dsr.methods import METHODS

RESULTS = Path(__file__).parents[1] / "results" / "experiments"
PERIOD = 5


def main() -> None:
    """Time the methods that reallocate and write ``reallocation-ms.csv``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    epochs = parser.parse_args().epochs
    rows = [time_method(method, epochs) for method in (*RANDOM_START, "compressed")]
    pd.DataFrame([row for row in rows if row["reallocations"]]).to_csv(
        RESULTS / "reallocation-ms.csv", index=False
    )


def time_method(method: str, epochs: int) -> dict[str, Any]:
    """Train with one method and time its reallocations.

    Args:
        method: its name.
        epochs: to train for.

    Returns:
        ``method``, ``reallocations`` and ``ms``, their median in milliseconds (0 without any).
    """
    times: list[float] = []
    original = sparsifier.reallocate

    def timed(*arguments: Any, **settings: Any) -> Any:
        start = time.thread_time()
        counts = original(*arguments, **settings)
        times.append(1000 * (time.thread_time() - start))
        return counts

    options = {"period": PERIOD} if "period" in own_options(METHODS[method]) else {}
    config = RunConfig(method=method, sparsity=0.98, epochs=epochs, device="cpu", options=options)
    with mock.patch.object(sparsifier, "reallocate", timed):
        run(config)
    median = statistics.median(times) if times else 0.0
    return {"method": method, "reallocations": len(times), "ms": round(median, 3)}


if __name__ == "__main__":
    main()
