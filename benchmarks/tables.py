"""Fills the tables of README.md and of docs from the committed CSV files.

A table stands between ``<!-- name -->`` and ``<!-- /name -->``; the first alone is enough to begin
with. Anything else in a file stays as it is.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path

from benchmarks import profile, training_step
from benchmarks.entries import Row
from benchmarks.gpu_targets import targets_text
from benchmarks.gpu_text import UNVERIFIED, gpu_op_text, gpu_summary_text
from benchmarks.markdown import (
    NOT_MEASURED,
    FormatError,
    accuracy_text,
    losses_text,
    machine_text,
    op_text,
    read_rows,
    summary_text,
)
from benchmarks.masked_products import text as products
from benchmarks.masked_products.__main__ import MACHINE as PRODUCTS_MACHINE
from benchmarks.masked_products.__main__ import csv_name
from benchmarks.registry import DEFAULT
from benchmarks.stale import stale
from benchmarks.table3.text import table3_text

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
OP_COLUMNS = (
    "net", "sparsity", "provider", "kind", "median_us", "speedup", "bytes", "of_copy", "error",
)  # fmt: skip
TABLE3_COLUMNS = ("net", "method", "ratio", "overhead", "error")
ON_HOST = ("checkpoint_save", "checkpoint_load", "mask_and_count_")  # whose work no GPU does
HEADLINE = ("dsr_step", "prune_threshold_", "kth_magnitude", "grow_random_")  # for the README
FILES = tuple(ROOT / name for name in ("README.md", "docs/results.md", "docs/masked-products.md"))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.tables", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, default=list(FILES))
    parser.add_argument("--train", type=Path, help="compare.csv of `make train`, for README.md")
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if a table is old")
    options = parser.parse_args(argv)
    try:
        old = _fill_all(options.files, contents(RESULTS, options.train), options.check)
    except FormatError as error:
        print(error, file=sys.stderr)
        return 2
    for path in old:
        print(f"{path}: {'has an old table' if options.check else 'filled'}")
    return int(options.check and bool(old))


def _fill_all(
    files: Sequence[Path], tables: Mapping[str, Callable[[], str]], check: bool
) -> list[Path]:
    """Fill the files, or only look if ``check``; returns those with a table that was old."""
    old = []
    for path in files:
        text = path.read_text()
        filled = fill(text, tables)
        if _without_marks(filled) != _without_marks(text):
            old.append(path)
        if filled != text and not check:
            path.write_text(filled)
    return old


def contents(results: Path, train: Path | None = None) -> dict[str, Callable[[], str]]:
    """What goes between the markers of each name."""
    folder = results / "cpu"
    gpus = [path.parent for path in sorted(results.glob("*/machine.json")) if path.parent != folder]
    ops = _ops(folder)
    tables: dict[str, Callable[[], str]] = {
        "cpu machine": partial(_machine, folder),
        "cpu table3": partial(_table3, folder),
        "cpu training step": partial(_training_step, folder),
        "gpu training step": lambda: _of_gpus(gpus, _training_step),
        "cpu summary": lambda: summary_text(ops),
        "cpu headline": lambda: (
            f"{summary_text({op: ops[op] for op in HEADLINE})}\n\n{_machine(folder, HEADLINE)}"
        ),
        "cpu losses": lambda: losses_text(ops),
        "digits": lambda: accuracy_text(read_rows(results / "digits.csv")),
        "gpu summary": lambda: _of_gpus(
            gpus, lambda gpu: f"{_machine(gpu)}\n\n{gpu_summary_text(_ops(gpu))}"
        ),
        "gpu targets": lambda: _of_gpus(gpus, gpu_targets, targets_text({})),
        "gpu losses": lambda: _of_gpus(gpus, _gpu_losses),
        "cpu profile": partial(_profile, folder),
        "gpu profile": lambda: _of_gpus(gpus, _profile),
        "gpu table3": lambda: _of_gpus(gpus, _table3),
        "cpu masked products": partial(_products, folder),
        "gpu masked products": lambda: _of_gpus(gpus, _products),
    }
    for op, rows in ops.items():
        tables[f"cpu {op}"] = partial(op_text, op, rows)
        if op not in ON_HOST:
            tables[f"gpu {op}"] = partial(_of_gpus, gpus, partial(_gpu_op, op))
    if train is not None:
        tables["make train"] = lambda: accuracy_text(read_rows(train))
    return tables


NO_GPU = f"{UNVERIFIED}: nothing has been measured on one yet."


def gpu_targets(folder: Path) -> str:
    """Which of the targets the results in ``folder`` reach."""
    return targets_text(
        _ops(folder),
        read_rows(folder / "table3.csv", TABLE3_COLUMNS),
        read_rows(folder / training_step.CSV, training_step.COLUMNS),
    )


def _gpu_op(op: str, folder: Path) -> str:
    return gpu_op_text(op, read_rows(folder / f"{op}.csv", OP_COLUMNS))


def _gpu_losses(folder: Path) -> str:
    ops = _ops(folder)
    return (
        f"In graph replay:\n\n{losses_text(ops, 'graph_us')}\n\nAs the host calls them:\n\n"
        f"{losses_text(ops)}"
    )


def _profile(folder: Path) -> str:
    rows = read_rows(folder / profile.CSV, [field.name for field in fields(profile.Profile)])
    if not rows:
        return NOT_MEASURED
    old = _stale_mark(folder, ["profile"], profile.MACHINE)
    return f"{machine_text(folder, profile.MACHINE)}{old}\n\n{profile.text(rows)}"


def _ops(folder: Path) -> dict[str, list[Row]]:
    return {op: read_rows(folder / f"{op}.csv", OP_COLUMNS) for op in DEFAULT}


def _of_gpus(folders: Sequence[Path], text: Callable[[Path], str], none: str = NO_GPU) -> str:
    """The text of each GPU's results under its name, or ``none``."""
    if not folders:
        return none
    return "\n\n".join(f"**{folder.name}**\n\n{text(folder)}" for folder in folders)


def _machine(folder: Path, ops: Sequence[str] = DEFAULT) -> str:
    return machine_text(folder) + _stale_mark(folder, ops)


def _table3(folder: Path) -> str:
    rows = read_rows(folder / "table3.csv", TABLE3_COLUMNS)
    if not rows:
        return table3_text(rows)
    machine = "table3_machine.json"
    return (
        f"{machine_text(folder, machine)}{_stale_mark(folder, ['table3'], machine)}\n\n"
        f"{table3_text(rows)}"
    )


def _training_step(folder: Path) -> str:
    rows = read_rows(folder / training_step.CSV, training_step.COLUMNS)
    if not rows:
        return NOT_MEASURED
    old = _stale_mark(folder, ["training_step"], training_step.MACHINE)
    made = training_step.text(rows, "cpu" if folder.name == "cpu" else "cuda")
    return f"{machine_text(folder, training_step.MACHINE)}{old}\n\n{made}"


def _products(folder: Path) -> str:
    linear, convolutions = (
        read_rows(folder / csv_name(op), products.COLUMNS)
        for op in ("masked_linear", "masked_conv2d")
    )
    if not linear and not convolutions:
        return NOT_MEASURED
    old = _stale_mark(folder, ["masked_products"], PRODUCTS_MACHINE)
    return (
        f"{machine_text(folder, PRODUCTS_MACHINE)}{old}\n\n{products.linear_text(linear)}\n\n"
        f"{products.convolutions_text(convolutions)}"
    )


STALE = "Stale, since their sources have changed later: "


def _stale_mark(folder: Path, names: Sequence[str], machine: str = "machine.json") -> str:
    old = stale(folder, names, machine)
    return f"\n\n{STALE}{', '.join(f'`{name}`' for name in old)}." if old else ""


def _without_marks(text: str) -> str:
    """``text`` without what depends on later commits, which a commit cannot know of itself."""
    return re.sub(rf"\n\n{STALE}[^\n]*", "", text)


def fill(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """``text`` with every named table made anew."""
    for name, make in tables.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        pattern = re.escape(start) + f"(?:(?:(?!<!-- ).)*{re.escape(end)})?"
        if re.search(pattern, text, re.DOTALL):
            block = f"{start}\n{make()}\n{end}".replace("\\", r"\\")  # as re.sub takes it
            text = re.sub(pattern, block, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    sys.exit(main())
