"""Fills the tables of README.md and docs/results.md from the committed CSV files.

A table stands between ``<!-- name -->`` and ``<!-- /name -->``; the first alone is enough to begin
with. Anything else in a file stays as it is.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.markdown import (
    accuracy_text,
    losses_text,
    machine_text,
    op_text,
    read_rows,
    summary_text,
)
from benchmarks.registry import OPS

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
FILES = (ROOT / "README.md", ROOT / "docs" / "results.md")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.tables", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, default=list(FILES))
    parser.add_argument("--train", type=Path, help="compare.csv of `make train`, for README.md")
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if a table is old")
    options = parser.parse_args(argv)
    tables = contents(RESULTS, options.train)
    old = []
    for path in options.files:
        text = path.read_text()
        filled = fill(text, tables)
        if filled != text:
            old.append(path)
            if not options.check:
                path.write_text(filled)
    for path in old:
        print(f"{path}: {'has an old table' if options.check else 'filled'}")
    return int(options.check and bool(old))


def contents(results: Path, train: Path | None = None) -> dict[str, Callable[[], str]]:
    """What goes between the markers of each name."""
    folder = results / "cpu"
    ops = {op: read_rows(folder / f"{op}.csv") for op in OPS}
    tables: dict[str, Callable[[], str]] = {
        "cpu machine": lambda: machine_text(folder),
        "cpu summary": lambda: summary_text(ops),
        "cpu losses": lambda: losses_text(ops),
        "digits": lambda: accuracy_text(read_rows(results / "digits.csv")),
    }
    for op, rows in ops.items():
        tables[f"cpu {op}"] = partial(op_text, op, rows)
    if train is not None:
        tables["make train"] = lambda: accuracy_text(read_rows(train))
    return tables


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
