"""Says which ratios of two folders of results agree: whether their intervals overlap.

For every provider the time over ours, of calls and of graph replays; for Table 3 the time with
reallocation over that without. Exit code 1 if one does not agree.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.entries import Row, digits
from benchmarks.markdown import FormatError, read_rows, table
from benchmarks.registry import OPS
from benchmarks.run import Parser

OP_KEY = ("op", "net", "sparsity", "dtype", "provider")
SPEEDUPS = {"speedup": "called", "graph_speedup": "replayed"}
TABLE3_KEY = ("net", "method", "implementation")
Ratio = tuple[float, float, float]  # and where its interval begins and ends
Key = tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(prog="benchmarks.compare", description=__doc__)
    parser.add_argument("old", type=Path, help="folder with the CSV files of one run")
    parser.add_argument("new", type=Path, help="folder with those of another")
    options = parser.parse_args(list(sys.argv[1:] if argv is None else argv))
    for name, folder in (("old", options.old), ("new", options.new)):
        if not folder.is_dir():
            parser.error(f"{name}: expected a folder, got {folder}")
    try:
        old, new = ratios(options.old), ratios(options.new)
    except FormatError as error:
        parser.error(str(error))
    shared = [key for key in old if key in new]
    if not shared:
        parser.error(f"{options.old}, {options.new}: no ratio with an interval is in both")
    lines, agreeing = compared(old, new, shared)
    print(table(["ratio", "old", "new", "agree"], lines))
    print(
        f"\n{agreeing} of {len(shared)} agree; {len(old) + len(new) - 2 * len(shared)} in one only"
    )
    return int(agreeing < len(shared))


def ratios(folder: Path) -> dict[Key, Ratio]:
    """Every ratio of a folder that has an interval, by what it is the ratio of.

    Raises:
        FormatError: a file lacks a column.
    """
    found: dict[Key, Ratio] = {}
    for op in OPS:
        columns = [field for name in SPEEDUPS for field in _fields(name)]
        for row in read_rows(folder / f"{op}.csv", (*OP_KEY, "kind", *columns)):
            for name, how in SPEEDUPS.items():
                if row["kind"] not in ("ours", "copy") and row[f"{name}_low"]:
                    found[(*(row[field] for field in OP_KEY), how)] = _ratio(row, name)
    for row in read_rows(folder / "table3.csv", (*TABLE3_KEY, *_fields("ratio"))):
        if row["ratio_low"]:
            found[("table3", *(row[name] for name in TABLE3_KEY))] = _ratio(row, "ratio")
    return found


def compared(
    old: Mapping[Key, Ratio], new: Mapping[Key, Ratio], keys: Sequence[Key]
) -> tuple[list[list[str]], int]:
    """A line a ratio, and how many agree."""
    lines, agreeing = [], 0
    for key in keys:
        (_, low, high), (_, new_low, new_high) = old[key], new[key]
        agree = low <= new_high and new_low <= high
        agreeing += agree
        lines.append(
            [", ".join(key), _text(old[key]), _text(new[key]), "yes" if agree else "**no**"]
        )
    return lines, agreeing


def _fields(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def _ratio(row: Row, name: str) -> Ratio:
    middle, low, high = (float(row[field]) for field in _fields(name))
    return middle, low, high


def _text(ratio: Ratio) -> str:
    middle, low, high = (f"{v:.4f}" if 0.9 < ratio[0] < 1.1 else digits(v) for v in ratio)
    return f"{middle} [{low}, {high}]"


if __name__ == "__main__":
    sys.exit(main())
