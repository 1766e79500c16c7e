"""Run an experiment on small data: `python -m benchmarks.experiments.run NAME`.

Finished runs are skipped, so that it can be stopped and started again. Writes NAME.csv and NAME.png
beside the other results.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from benchmarks.experiments.grids import COUNT_MOVED, GRIDS, Cell
from benchmarks.experiments.picture import draw
from dsr.experiments.folder import METRICS, RunFolder
from dsr.experiments.workers import run_all

RESULTS = Path(__file__).parents[1] / "results" / "experiments"
NEVER = 10**6


def main() -> None:
    """Run one experiment, or all of them in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*GRIDS, "all"])
    parser.add_argument("--out", type=Path, default=Path("runs-experiments"), help="for the runs")
    parser.add_argument("--jobs", type=int, help="processes; one a core if left out")
    arguments = parser.parse_args()
    for name in GRIDS if arguments.name == "all" else [arguments.name]:
        run_experiment(name, arguments.out.absolute() / name, arguments.jobs)


def run_experiment(name: str, out: Path, jobs: int | None, results: Path = RESULTS) -> None:
    """Run what is not finished yet and write the table and the picture.

    Args:
        name: of the experiment.
        out: folder for its runs, made if need be.
        jobs: processes; None: one a core.
        results: folder for the table and the picture.

    Raises:
        SystemExit: a run failed; names the first one.
    """
    out.mkdir(parents=True, exist_ok=True)
    cells = GRIDS[name](out)
    pending = {
        out / cell.folder: cell.config
        for cell in cells
        if not RunFolder(out / cell.folder).finished
    }
    if pending:
        print(f"{name}: {len(pending)} of {len(cells)} runs to go", flush=True)
        errors = run_all(pending, jobs, NEVER)
        if errors:
            folder, reason = next(iter(errors.items()))
            raise SystemExit(f"{name}: {len(errors)} runs failed; {folder}: {reason}")
    frame = pd.DataFrame([_row(cell, out) for cell in cells])
    if name not in COUNT_MOVED:
        frame = frame.drop(columns="moved")
    frame.to_csv(results / f"{name}.csv", index=False)
    draw(frame, name, results / f"{name}.png")
    print(f"{name}: {results / name}.csv", flush=True)


def _row(cell: Cell, out: Path) -> dict[str, object]:
    folder = RunFolder(out / cell.folder)
    summary = folder.summary()
    rows = folder.rows(METRICS, 1, cell.config.epochs)
    return {
        **cell.keys,
        "seed": cell.config.seed,
        "test_accuracy": summary.test_accuracy,
        "nonzeros": summary.nonzeros,
        "explored": round(summary.explored, 5),
        "moved": round(sum(row["grown"] for row in rows) / summary.nonzeros, 4),
    }


if __name__ == "__main__":
    main()
