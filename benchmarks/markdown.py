"""Tables in Markdown, made from the committed CSV files so that no number is typed by hand."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.case import Target
from benchmarks.entries import Row, cell, digits, duration, limit, verdict
from benchmarks.registry import OPS

Key = tuple[str, str, str]  # net, sparsity, dtype
NET_NAMES = {
    "lenet-300-100": "LeNet-300-100",
    "wrn-28-2": "WRN-28-2",
    "resnet50": "ResNet-50",
    "wrn-16-8": "WRN-16-8",
    "transformer-1b": "transformer, 1 G",
}
NAMED: Key = ("resnet50", "0.9", "float32")
RIVALS = ("authors", "eager", "compiled")
MACHINE_KEYS = (
    "date", "commit", "device", "cores", "threads", "python", "torch", "numpy", "command",
)  # fmt: skip
NOT_MEASURED = "Not measured yet."
LIMIT = "{shortest} at the {speed:.3g} GB/s of the copy; {of_copy:.2g} of that speed."


class FormatError(Exception):
    """A result file is not what the program that should have written it writes."""


def read_rows(path: Path, columns: Collection[str] = ()) -> list[Row]:
    """The rows of a CSV file; none if there is no such file.

    Raises:
        FormatError: it lacks one of ``columns``.
    """
    if not path.exists():
        return []
    with path.open(newline="", errors="replace") as file:
        reader = csv.DictReader(file)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise FormatError(f"{path}: expected a column {missing[0]!r}; measure it again")
        return list(reader)


def read_machine(path: Path, keys: Collection[str]) -> dict[str, Any]:
    """What a run wrote about the machine it ran on.

    Raises:
        FormatError: it is no JSON object, or lacks one of ``keys``.
    """
    try:
        machine = json.loads(path.read_text())
    except ValueError as error:
        raise FormatError(f"{path}: expected JSON, got {error}") from None
    missing = [key for key in keys if not isinstance(machine, dict) or key not in machine]
    if missing:
        raise FormatError(f"{path}: expected a key {missing[0]!r}; measure it again")
    return dict(machine)


def table(head: Sequence[str], lines: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; columns after the first ``left`` are numbers."""
    rule = ["---" if i < left else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *lines))


def machine_text(folder: Path, name: str = "machine.json") -> str:
    """What the numbers of a folder were taken on."""
    path = folder / name
    if not path.exists():
        return NOT_MEASURED
    m = read_machine(path, MACHINE_KEYS)
    return (
        f"Measured on {m['date'][:10]} at commit {m['commit']} on {m['device']}, {m['cores']} "
        f"cores, {m['threads']} threads, Python {m['python']}, torch {m['torch']}, NumPy "
        f"{m['numpy']}, by `{m['command']}`."
    )


def op_text(op: str, rows: Sequence[Row]) -> str:
    """All providers of one op, a column a net, and how far its targets are reached."""
    if not rows:
        return NOT_MEASURED
    cases = table_cases(rows) or cases_of(rows)
    lines = []
    for provider in dict.fromkeys(row["provider"] for case in cases.values() for row in case):
        cells = [cell(find(case, provider), _taken, _times) for case in cases.values()]
        lines.append([shown(provider), *cells])
    head = ["median, and how many times ours", *(label_of(key, cases) for key in cases)]
    parts = [table(head, lines)]
    limits = [
        limit(label_of(key, cases), case[0], fastest(case, "copy"), _taken_us, LIMIT)
        for key, case in cases.items()
    ]
    parts += [" ".join(text for text in limits if text)]
    key = _named(cases)
    results = [_target_text(target, cases[key]) for target in OPS[op].targets]
    if results:
        parts.append(f"Asked of it on {label_of(key, cases)}: {'; '.join(results)}.")
    return "\n\n".join(part for part in parts if part)


def summary_text(ops: dict[str, list[Row]]) -> str:
    """One line an op: its time on ResNet-50, its best rivals, its distance from the limit."""
    lines = []
    for op, rows in ops.items():
        if not rows:
            continue
        cases = cases_of(rows)
        case = cases[_named(cases)]
        ours = case[0]
        eager, authors = fastest(case, "eager"), fastest(case, "authors")
        met = [reached(target, case) >= target.factor for target in OPS[op].targets]
        lines.append(
            [
                f"`{op}`",
                duration(ours["median_us"]),
                _times(eager) + (f", {eager['provider']}" if eager else ""),
                _times(authors),
                ours["of_copy"] and f"{float(ours['of_copy']):.2g}",
                ", ".join(
                    f"{target.factor:g}x {target.against}: {verdict(ok)}"
                    for target, ok in zip(OPS[op].targets, met, strict=True)
                ),
            ]
        )
    head = ["op", "ours", "fastest eager", "authors' way", "of copy", "asked"]
    return table(head, lines) if lines else NOT_MEASURED


def losses_text(ops: dict[str, list[Row]], field: str = "median_us") -> str:
    """Every case in which something was faster than ours by ``field``, and the fastest that was."""
    lines = []
    for op, rows in ops.items():
        cases = cases_of(rows)
        for key, case in cases.items():
            found = [row for kind in RIVALS if (row := fastest(case, kind, field))]
            best = min(found, key=lambda row: float(row[field]), default=None)
            ours = fastest(case, "ours", field)
            if best and ours and float(best[field]) < float(ours[field]):
                lines.append(
                    f"- `{op}` on {label_of(key, cases)}: {best['provider']} takes "
                    f"{duration(best[field])}, ours {duration(ours[field])}{_open(best, field)}."
                )
    return "\n".join(lines) or ("None." if any(ops.values()) else NOT_MEASURED)


def _open(row: Row, field: str) -> str:
    """That the interval of a ratio leaves open which is faster, where it does."""
    name = "graph_speedup" if field == "graph_us" else "speedup"
    high = row.get(f"{name}_high")
    return "; their intervals leave it open" if high and float(high) >= 1 else ""


def accuracy_text(runs: Sequence[Row]) -> str:
    """Test accuracy by initial allocation, sparsity and method."""
    if not runs:
        return NOT_MEASURED
    sparse = [run for run in runs if run["method"] != "dense"]
    methods = list(dict.fromkeys(run["method"] for run in sparse))
    lines = []
    for key in dict.fromkeys((run["distribution"], run["sparsity"]) for run in sparse):
        here = [run for run in sparse if (run["distribution"], run["sparsity"]) == key]
        cells = [_accuracy([r for r in here if r["method"] == method]) for method in methods]
        lines.append([*key, *cells])
    text = table(["initial allocation", "sparsity", *methods], lines, left=2)
    dense = [run for run in runs if run["method"] == "dense"]
    return f"{text}\n\nDense: {_accuracy(dense)}." if dense else text


def find(case: Sequence[Row], provider: str) -> Row | None:
    return next((row for row in case if row["provider"] == provider), None)


def fastest(case: Sequence[Row], kind: str, field: str = "median_us") -> Row | None:
    """The fastest provider of a kind."""
    rows = [row for row in case if row["kind"] == kind and row.get(field)]
    return min(rows, key=lambda row: float(row[field]), default=None)


def reached(target: Target, case: Sequence[Row]) -> float:
    """How many times faster than the target's rival ours was; 0 if one of them did not run."""
    rival = find(case, target.against) or fastest(case, target.against)
    return float(rival["speedup"]) if rival and rival["speedup"] else 0.0


def _named(cases: Iterable[Key]) -> Key:
    """The case by which an op is judged: `NAMED`, or the last where that was not timed."""
    keys = list(cases)
    return NAMED if NAMED in keys else keys[-1]


def table_cases(rows: Sequence[Row]) -> dict[Key, list[Row]]:
    """The cases that a table has a column for: other sizes and sparsities are in pictures."""
    order = [(name, *NAMED[1:]) for name in (*NET_NAMES, "1e8")]
    cases = cases_of(rows)
    return {key: cases[key] for key in order if key in cases}


def cases_of(rows: Sequence[Row]) -> dict[Key, list[Row]]:
    cases: dict[Key, list[Row]] = {}
    for row in rows:
        key = (row["net"], row["sparsity"], row.get("dtype", "float32"))
        cases.setdefault(key, []).append(row)
    return cases


def label_of(key: Key, cases: Iterable[Key]) -> str:
    """The net, and what else tells this case from the others."""
    keys = list(cases)
    more = [key[i] for i in (1, 2) if len({other[i] for other in keys}) > 1]
    return ", ".join([NET_NAMES.get(key[0], key[0]), *more])


def shown(provider: str) -> str:
    return f"**{provider}**" if provider.startswith("dsr") else provider


def _taken_us(row: Row) -> float:
    return float(row["median_us"])


def _taken(row: Row) -> str:
    return duration(row["median_us"])


def _target_text(target: Target, case: Sequence[Row]) -> str:
    rival = {"eager": "the fastest eager way", "authors": "the authors' way at its fastest"}
    against, factor = rival.get(target.against, target.against), reached(target, case)
    outcome = verdict(factor >= target.factor)
    return f"{target.factor:g} times {against}, reached {digits(factor)}: **{outcome}**"


def _times(row: Row | None) -> str:
    return f"{digits(float(row['speedup']))}x" if row and row["speedup"] else ""


def _accuracy(runs: Sequence[Row]) -> str:
    values = [100 * float(run["test_accuracy"]) for run in runs]
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"
