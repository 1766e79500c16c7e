"""Fill the tables of docs/experiments.md: `python -m benchmarks.experiments.tables`.

A table stands between `<!-- NAME.csv -->` and `<!-- end -->`. With `--check` nothing is written,
and the exit code is 1 if a table is not what the results say.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pandas as pd

from benchmarks.experiments.picture import SUMMED, summary

DOCUMENT = Path(__file__).parents[2] / "docs" / "experiments.md"
RESULTS = Path(__file__).parents[1] / "results" / "experiments"
MARKED = re.compile(r"(<!-- ([\w-]+)\.csv -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Fill the tables, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if one is stale")
    check = parser.parse_args().check
    text = DOCUMENT.read_text()
    new = filled(text)
    if not check:
        DOCUMENT.write_text(new)
    elif new != text:
        print("docs/experiments.md: a table is not what the results say; run this without --check")
        return 1
    return 0


def filled(text: str) -> str:
    """The document with every marked table made anew."""
    return MARKED.sub(lambda match: f"{match[1]}{table(match[2])}{match[3]}", text)


def table(name: str) -> str:
    """The Markdown table of one CSV file of the results."""
    frame = pd.read_csv(RESULTS / f"{name}.csv")
    if "test_accuracy" not in frame:
        return _markdown(
            list(frame.columns), [[str(value) for value in row] for row in frame.values]
        )
    rows = summary(frame)
    keys = [column for column in rows.columns if column not in SUMMED]
    counted = {"explored": 1, "moved": 0} if "moved" in rows else {"explored": 1}
    lines = [
        [
            *(str(row[key]) for key in keys),
            f"{row['mean']:.1f} ± {row['std']:.1f}",
            *(f"{row[name]:.{digits}f}" for name, digits in counted.items()),
            str(int(row["seeds"])),
        ]
        for row in rows.iloc
    ]
    head = [*keys, *(f"{name}, %" for name in ("test accuracy", *counted)), "seeds"]
    if "method" in rows:  # one of them promises no number of active weights
        lines = [[*line, f"{n:.0f}"] for line, n in zip(lines, rows["active"], strict=True)]
        head.append("active at the end")
    if name == "methods":
        lines = [
            [*line, *_reallocation(str(method))]
            for line, method in zip(lines, rows["method"], strict=True)
        ]
        head += ["ms a reallocation", "resumes to the bit"]
    return _markdown(head, lines)


def _reallocation(method: str) -> list[str]:
    frame = pd.read_csv(RESULTS / "reallocations.csv", keep_default_na=False, dtype=str)
    row = frame[frame["method"] == method].iloc[0]
    return [row["ms"], row["resumes"]]


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    raise SystemExit(main())
