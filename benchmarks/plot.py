"""One picture a run: the time of every provider beside the limit that the copy sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.report import Row

COLORS = {"ours": "C0", "authors": "C3", "eager": "0.6", "compiled": "C2", "dense": "C4"}
COLUMNS = 3
DPI = 110


def plot_times(rows: Sequence[Row], path: Path) -> None:
    """Draw a panel an op, for the largest net and the first sparsity that were timed.

    Args:
        rows: as ``report.rows_of`` makes them.
        path: the PNG to write.
    """
    chosen = _largest(rows)
    ops = list(dict.fromkeys(row["op"] for row in chosen))
    lines = -(-len(ops) // COLUMNS)
    figure = Figure(figsize=(6.2 * COLUMNS, 2.7 * lines + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, COLUMNS, squeeze=False).flat
    for ax, op in zip(panels, ops, strict=False):
        _draw(ax, [row for row in chosen if row["op"] == op and not row["error"]])
        ax.set_title(op, fontsize=11)
    for ax in list(figure.axes)[len(ops) :]:
        ax.axis("off")
    first = chosen[0]
    figure.suptitle(
        f"{first['net']}, sparsity {first['sparsity']}: median ms, logarithmic; "
        "dashed: bytes that must move, at the speed of a copy"
    )
    figure.savefig(path, dpi=DPI, format="png")


def _largest(rows: Sequence[Row]) -> list[Row]:
    """Rows of the net whose copy moves most, at the first sparsity."""
    copies = [row for row in rows if row["kind"] == "copy"]
    net = max(copies, key=lambda row: int(str(row["bytes"])))["net"]
    return [row for row in rows if row["net"] == net and row["sparsity"] == rows[0]["sparsity"]]


def _draw(ax: Axes, rows: Sequence[Row]) -> None:
    timed = [row for row in rows if row["kind"] != "copy"]
    for y, row in enumerate(timed):
        ms = float(str(row["median_us"])) / 1e3
        ax.barh(y, ms, color=COLORS[str(row["kind"])], height=0.7)
        ax.annotate(f"{ms:.3g}", (ms, y), xytext=(3, 0), textcoords="offset points", va="center")
    limited = [row for row in timed if row.get("of_copy") not in (None, "")]
    if limited:
        row = limited[0]
        limit = float(str(row["median_us"])) * float(str(row["of_copy"])) / 1e3
        ax.axvline(limit, color="k", linestyle="--", linewidth=1)
    ax.set_yticks(range(len(timed)), [str(row["provider"]) for row in timed])
    ax.invert_yaxis()
    ax.set_xscale("log")
    ax.xaxis.set_minor_formatter("")
    ax.margins(x=0.15)
    ax.spines[["top", "right"]].set_visible(False)
