"""Table 3 in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.markdown import NET_NAMES, NOT_MEASURED, Row, table
from benchmarks.table3.methods import METHOD_NAMES, TARGETS

HEAD = (
    "network", "method", "reallocation", "step", "of dense", "with / without, 95 %", "alone",
    "of training", "paper", "asked",
)  # fmt: skip
RATIO = ("ratio", "ratio_low", "ratio_high")


def table3_text(rows: Sequence[Row]) -> str:
    """One line a method and implementation."""
    if not rows:
        return NOT_MEASURED
    first = rows[0]
    lines = [_line(row) for row in rows]
    return (
        f"{table(HEAD, lines, left=3)}\n\n{first['blocks']} pairs of blocks of {first['steps']} "
        f"steps; images and batch: "
        + ", ".join(
            dict.fromkeys(
                f"{NET_NAMES[row['net']]} {row['batch']} x {row['image']} x {row['image']}"
                for row in rows
            )
        )
        + "."
        + "".join(
            f" With `w * mask` in every forward pass a step of {NET_NAMES[row['net']]} takes "
            f"{float(row['multiplied_of_dense']):.3f} of dense."
            for row in rows
            if row.get("multiplied_of_dense")
        )
    )


def _line(row: Row) -> list[str]:
    start = [NET_NAMES[row["net"]], METHOD_NAMES[row["method"]], row["implementation"]]
    if row["error"]:
        return [*start, f"cannot run: {row['error']}", *[""] * 6]
    alone = overhead = paper = ""
    if row["reallocation_ms"]:
        alone = f"{float(row['reallocation_ms']):.3g} ms"
        overhead = f"{float(row['overhead']):.1e}"
    if row["paper_ratio"]:
        paper = f"{row['paper_ratio']} ± {row['paper_spread']}"
    return [
        *start,
        f"{float(row['step_ms']):.4g} ms",
        f"{float(row['of_dense']):.3f}",
        "{} [{}, {}]".format(*(f"{float(row[k]):.5f}" for k in RATIO)),
        alone,
        overhead,
        paper,
        _verdict(row),
    ]


def _verdict(row: Row) -> str:
    """Whether ours adds no more than it may: what it takes alone, or else the paired ratio."""
    target = TARGETS.get((row["net"], row["method"]))
    if target is None or row["implementation"] != "ours":
        return ""
    ratio = 1 + float(row["overhead"]) if row["overhead"] else float(row["ratio"])
    return f"{target:g}: {'met' if ratio <= target else 'missed'}"
