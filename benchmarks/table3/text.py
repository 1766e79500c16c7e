"""Table 3 in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.entries import Row, verdict
from benchmarks.markdown import NET_NAMES, NOT_MEASURED, table
from benchmarks.table3.methods import INTERVAL_TARGETS, METHOD_NAMES, TARGETS

HEAD = (
    "network", "method", "reallocation", "step", "of dense, 95 %", "peak MiB, of dense",
    "with / without, 95 %", "alone", "of training", "paper", "asked",
)  # fmt: skip
Judged = tuple[str, str, str, str, bool | None]  # network, method, asked, reached, whether met


def table3_text(rows: Sequence[Row]) -> str:
    """One line a method and implementation."""
    if not rows:
        return NOT_MEASURED
    lines = [_line(row) for row in rows]
    shapes = dict.fromkeys(
        f"{NET_NAMES[row['net']]} {row['batch']} x {row['image']} x {row['image']}" for row in rows
    )
    return (
        f"{table(HEAD, lines, left=3)}\n\n{_range(rows, 'blocks')} pairs of blocks of "
        f"{_range(rows, 'steps')} steps; images and batch: {', '.join(shapes)}."
    )


def judged(rows: Sequence[Row]) -> list[Judged]:
    """Every target of Table 3, and how far ours reaches it; None where nothing was measured."""
    found: list[Judged] = []
    for (net, method), bound in TARGETS.items():
        row = next(
            (
                row
                for row in rows
                if (row["net"], row["method"], row["implementation"]) == (net, method, "ours")
                and not row["error"]
            ),
            None,
        )
        names = NET_NAMES[net], METHOD_NAMES[method]
        ratio = _added(row) if row else None
        reached = "" if ratio is None else f"{ratio:.6g}"
        asked = f"at most {bound:g} of training without"
        found.append((*names, asked, reached, None if ratio is None else ratio <= bound))
        if method in INTERVAL_TARGETS:
            least = INTERVAL_TARGETS[method]
            interval = "" if row is None else _interval(row, "ratio", 5)
            met = None if row is None else float(row["ratio_low"]) <= least
            asked = f"the paired ratio's interval contains {least:g} or lies below"
            found.append((*names, asked, interval, met))
    return found


def _line(row: Row) -> list[str]:
    start = [NET_NAMES[row["net"]], METHOD_NAMES[row["method"]], row["implementation"]]
    if row["error"]:
        return [*start, f"cannot run: {row['error']}", *[""] * (len(HEAD) - len(start) - 1)]
    alone = overhead = paper = memory = ""
    if row["reallocation_ms"]:
        alone = f"{float(row['reallocation_ms']):.3g} ms"
        overhead = f"{float(row['overhead']):.1e}"
    if row["paper_ratio"]:
        paper = f"{row['paper_ratio']} ± {row['paper_spread']}"
    if row.get("peak_mib"):
        peak = float(row["peak_mib"])
        memory = f"{peak:.0f}, {peak / float(row['dense_peak_mib']):.3f}"
    return [
        *start,
        f"{float(row['step_ms']):.4g} ms",
        _interval(row, "of_dense", 3),
        memory,
        _interval(row, "ratio", 5),
        alone,
        overhead,
        paper,
        _verdict(row),
    ]


def _range(rows: Sequence[Row], field: str) -> str:
    """The values of a field over all rows: one, or the least and the largest."""
    values = sorted({int(row[field]) for row in rows if not row["error"]} or {0})
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _interval(row: Row, field: str, places: int) -> str:
    mean, low, high = (float(row[f"{field}{end}"]) for end in ("", "_low", "_high"))
    return f"{mean:.{places}f} [{low:.{places}f}, {high:.{places}f}]"


def _added(row: Row) -> float:
    """What reallocation multiplies training by: by what it takes alone, or the paired ratio."""
    return 1 + float(row["overhead"]) if row["overhead"] else float(row["ratio"])


def _verdict(row: Row) -> str:
    """Whether ours adds no more than it may, and what its interval says."""
    target = TARGETS.get((row["net"], row["method"]))
    if target is None or row["implementation"] != "ours":
        return ""
    met: bool | None = _added(row) <= target
    if not row["overhead"] and float(row["ratio_low"]) <= target < float(row["ratio_high"]):
        met = None  # the paired ratio's interval leaves it open
    verdicts = [f"{target:g}: {'undecided' if met is None else verdict(met)}"]
    least = INTERVAL_TARGETS.get(row["method"])
    if least is not None:
        verdicts.append(f"interval at {least:g}: {verdict(float(row['ratio_low']) <= least)}")
    return ", ".join(verdicts)
