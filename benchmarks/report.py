"""What a run of the benchmarks leaves: rows, printed tables, CSV files and where they come from."""

from __future__ import annotations

import csv
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch

from benchmarks.case import Case
from benchmarks.timing import Measurement, median_interval

COLUMNS = (
    "op",
    "net",
    "sparsity",
    "dtype",
    "provider",
    "kind",
    "calls",
    "median_us",
    "iqr_us",
    "q10_us",
    "q90_us",
    "graph_us",
    "no_graph",
    "speedup",
    "speedup_low",
    "speedup_high",
    "graph_speedup",
    "graph_speedup_low",
    "graph_speedup_high",
    "bytes",
    "of_copy",
    "error",
)
Row = dict[str, object]
MACHINE = "machine.json"


def rows_of(case: Case, measurements: Sequence[Measurement]) -> list[Row]:
    """One row a provider.

    ``speedup`` is the provider's time over ours, at least 90 % sure from ``speedup_low`` to
    ``speedup_high``; ``graph_speedup`` is the same of replays where both have one. ``bytes`` is
    what must be moved at least, and ``of_copy`` what fraction of the copy's time that would take of
    the provider's time: both are empty for a case that moves next to nothing. ``graph_us``
    is the device's time for the replay of a CUDA graph, of what can be captured on a GPU, and
    ``no_graph`` why something cannot; ``of_copy`` compares replays where both exist.
    """
    copied = 2 * case.copied_bytes
    copy = next((m for m in measurements if m.provider.kind == "copy" and not m.error), None)
    ours = measurements[0]
    rows = []
    for m in measurements:
        row: Row = {
            "op": case.op,
            "net": case.net,
            "sparsity": case.sparsity,
            "dtype": str(case.dtype).removeprefix("torch."),
            "provider": m.provider.name,
            "kind": m.provider.kind,
            "calls": len(m.seconds),
            "no_graph": m.no_graph,
            "error": m.error,
        }
        if not m.error:
            row |= _times(m, ours)
        moved = copied if m is copy else case.moved_bytes
        if moved:
            row["bytes"] = moved
            if copy is not None and not m.error:
                replayed = m.graph_seconds and copy.graph_seconds
                both = (copy.on_device, m.on_device) if replayed else (copy.median, m.median)
                row["of_copy"] = round(moved / copied * both[0] / both[1], 4)
        rows.append(row)
    return rows


def _times(m: Measurement, ours: Measurement) -> Row:
    """A provider's times, and how they relate to ours."""
    low, high = m.tenths
    row: Row = {
        "median_us": round(1e6 * m.median, 2),
        "iqr_us": round(1e6 * m.iqr, 2),
        "q10_us": round(1e6 * low, 2),
        "q90_us": round(1e6 * high, 2),
    }
    if m.graph_seconds:
        row["graph_us"] = round(1e6 * m.on_device, 2)
    if ours.error:
        return row
    row |= _ratio("speedup", m.seconds, ours.seconds)
    if m.graph_seconds and ours.graph_seconds:
        row |= _ratio("graph_speedup", m.graph_seconds, ours.graph_seconds)
    return row


def _ratio(name: str, seconds: Sequence[float], own: Sequence[float]) -> Row:
    """The medians' ratio, and the bounds of their intervals divided."""
    (low, high), (own_low, own_high) = median_interval(seconds), median_interval(own)
    ratio = statistics.median(seconds) / statistics.median(own)
    bounds = (1.0, 1.0) if seconds is own else (low / own_high, high / own_low)
    values = (ratio, *bounds)
    fields = (name, f"{name}_low", f"{name}_high")
    return {field: round(value, 3) for field, value in zip(fields, values, strict=True)}


def print_rows(rows: Sequence[Row]) -> None:
    first = rows[0]
    print(f"\n{first['op']}: {first['net']}, sparsity {first['sparsity']}, {first['dtype']}")
    print(f"  {'':<36}{'ms':>10}{'iqr':>9}{'graph us':>10}{'x ours':>9}{'of copy':>9}")
    for row in rows:
        if row["error"]:
            print(f"  {row['provider']!s:<36}cannot run: {row['error']}")
            continue
        times = [f"{float(str(row[name])) / 1e3:.3f}" for name in ("median_us", "iqr_us")]
        speedup, of_copy = row.get("speedup", ""), row.get("of_copy", "")
        graph = row.get("graph_us", "")
        print(
            f"  {row['provider']!s:<36}{times[0]:>10}{times[1]:>9}{graph:>10}{speedup:>9}"
            f"{of_copy:>9}"
        )


def write_csv(rows: Sequence[Row], out: Path, append: bool = False) -> None:
    """One file an op, replaced as a whole unless ``append``."""
    for op in dict.fromkeys(str(row["op"]) for row in rows):
        path = out / f"{op}.csv"
        goes_on = append and path.exists()
        with path.open("a" if goes_on else "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if not goes_on:
                writer.writeheader()
            writer.writerows(row for row in rows if row["op"] == op)


def write_machine(
    out: Path, device: torch.device, command: str, name: str = MACHINE, append: bool = False
) -> None:
    """Where, when, with what and by which command the numbers were taken.

    With ``append`` a file that is there gets the command besides: the rows before are older.
    """
    path = out / name
    if append and path.exists():
        machine = json.loads(path.read_text())
        machine["command"] += f"; {command}"
        path.write_text(json.dumps(machine, indent=2) + "\n")
        return
    machine = {
        "commit": _commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "cuda": torch.version.cuda,
    }
    path.write_text(json.dumps(machine, indent=2) + "\n")


def _commit() -> str | None:
    """The commit checked out, with "-dirty" if a file other than results has changed since."""
    root = Path(__file__).parent.parent
    head = ["git", "rev-parse", "--short", "HEAD"]
    changes = ["git", "status", "--porcelain", "--", ".", ":!benchmarks/results"]
    found = [
        subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout
        for command in (head, changes)
    ]
    commit = found[0].strip()
    return (f"{commit}-dirty" if found[1].strip() else commit) or None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
