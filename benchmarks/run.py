"""Times every registered case and prints a table; ``python -m benchmarks.run --help``."""

from __future__ import annotations

import argparse
import csv
import json
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import torch
from torch.utils.benchmark import Timer

from benchmarks.registry import Case, cases

COLUMNS = ("op", "case", "provider", "median_us", "iqr_us", "speedup", "bytes_per_s", "of_copy")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--out", type=Path, help="folder for results.csv and machine.json")
    parser.add_argument("--seconds", type=float, default=0.2, help="time spent on each provider")
    options = parser.parse_args(argv)
    rows = []
    for case in cases(torch.device(options.device)):
        case_rows = time_case(case, options.seconds)
        print_rows(case_rows)
        rows += case_rows
    if options.out is not None:
        write(rows, options.out, options.device)
    return 0


def time_case(case: Case, seconds: float) -> list[dict[str, object]]:
    """One row a provider. Timings are of eager calls, Python included."""
    timings = {name: measure(run, seconds) for name, run in case.providers.items()}
    ours = next(iter(timings.values()))[0]
    elements = case.copied_elements
    copy_speed = 8 * elements / timings["copy"][0]
    rows = []
    for name, (median, spread) in timings.items():
        speed = (8 * elements if name == "copy" else case.moved_bytes) / median
        rows.append(
            {
                "op": case.op,
                "case": case.name,
                "provider": name,
                "median_us": round(median * 1e6, 2),
                "iqr_us": round(spread * 1e6, 2),
                "speedup": round(median / ours, 2),
                "bytes_per_s": round(speed),
                "of_copy": round(speed / copy_speed, 3),
            }
        )
    return rows


def measure(run: Callable[[], object], seconds: float) -> tuple[float, float]:
    """Median and interquartile range of a call in seconds. On a GPU the timer synchronises."""
    run()
    timer = Timer("run()", globals={"run": run}, num_threads=torch.get_num_threads())
    measured = timer.blocked_autorange(min_run_time=seconds)
    return measured.median, measured.iqr


def print_rows(rows: list[dict[str, object]]) -> None:
    print(f"\n{rows[0]['op']}: {rows[0]['case']}")
    print(f"  {'provider':<18}{'median us':>12}{'iqr us':>10}{'time/ours':>11}{'of copy':>9}")
    for row in rows:
        print(
            f"  {row['provider']:<18}{row['median_us']:>12}{row['iqr_us']:>10}"
            f"{row['speedup']:>11}{row['of_copy']:>9}"
        )


def write(rows: list[dict[str, object]], out: Path, device: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with (out / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    (out / "machine.json").write_text(json.dumps(machine(device), indent=2) + "\n")


def machine(device: str) -> dict[str, object]:
    """Where and with what the numbers were taken."""
    gpu = torch.cuda.get_device_name() if device == "cuda" else None
    git = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "commit": commit or None,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "device": gpu or platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }


if __name__ == "__main__":
    sys.exit(main())
