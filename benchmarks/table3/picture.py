"""Table 3 as bars: what reallocation adds to training, with intervals, beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLORS = {"ours": "C0", "authors": "C3", "rigl-torch": "C1"}
WIDTH = 0.28
PAPER_COLOR = "0.4"
LEAST = 1e-6  # the lower end of the logarithmic axis
DPI = 110


def plot_table3(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """A panel a network, a group of bars a method; the axis is ratio - 1, logarithmic.

    Args:
        rows: of ``table3.csv``.
        path: the PNG to write.
    """
    nets = list(dict.fromkeys(str(row["net"]) for row in rows))
    figure = Figure(figsize=(6 * len(nets), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for ax, net in zip(figure.subplots(1, len(nets), squeeze=False).flat, nets, strict=True):
        chosen = [row for row in rows if row["net"] == net and not row.get("error")]
        methods = list(dict.fromkeys(str(row["method"]) for row in chosen))
        for row in chosen:
            own = str(row["implementation"])
            x = methods.index(str(row["method"])) + WIDTH * (list(COLORS).index(own) - 1)
            added = [max(LEAST, float(row[k]) - 1) for k in ("ratio_low", "ratio", "ratio_high")]
            ax.bar(x, added[1], width=0.9 * WIDTH, color=COLORS[own], label=own)
            ax.plot([x, x], [added[0], added[2]], color="k", linewidth=1)
            if row["paper_ratio"] not in ("", None):
                middle, added_there = methods.index(str(row["method"])), float(row["paper_ratio"])
                ax.hlines(added_there - 1, middle - 0.45, middle + 0.45, PAPER_COLOR, "dashed",
                          label="paper")  # fmt: skip
        ax.set_xticks(range(len(methods)), methods)
        ax.set_yscale("log")
        ax.set_ylim(bottom=LEAST)
        ax.set_ylabel("time that reallocation adds to training")
        ax.set_title(net)
        handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        ax.legend(handles.values(), handles.keys(), frameon=False)
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=DPI, format="png")
