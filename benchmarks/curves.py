"""Two pictures of committed results: time against the number of weights, speed over sparsity."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.markdown import Row, read_rows
from benchmarks.plot import COLORS, DPI
from benchmarks.run import Parser
from benchmarks.shapes import SIZES

OPS = ("prune_threshold_", "kth_magnitude", "grow_random_", "dsr_step")
BY_SIZE, BY_SPARSITY = "by_size.png", "by_sparsity.png"
COLUMNS = ("op", "net", "sparsity", "provider", "kind", "median_us", "speedup", "error")


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(prog="benchmarks.curves", description=__doc__)
    parser.add_argument("folder", type=Path, help="with the CSV files of benchmarks.run")
    parser.add_argument("--net", default="resnet50", help="for the picture over sparsity")
    options = parser.parse_args(list(sys.argv[1:] if argv is None else argv))
    rows = [row for op in OPS for row in read_rows(options.folder / f"{op}.csv", COLUMNS)]
    timed = [row for row in rows if row["median_us"]]
    sizes = [row for row in timed if row["net"] in SIZES]
    sparsities = [row for row in timed if row["net"] == options.net]
    if not sizes and len({row["sparsity"] for row in sparsities}) < 2:
        parser.error(f"{options.folder}: nothing measured by size or at several sparsities")
    if sizes:
        _draw(sizes, "net", "median_us", "us", options.folder / BY_SIZE, "weights")
    if len({row["sparsity"] for row in sparsities}) > 1:
        name = f"sparsity, {options.net}"
        _draw(sparsities, "sparsity", "speedup", "times ours", options.folder / BY_SPARSITY, name)
    return 0


def _draw(rows: Sequence[Row], x: str, y: str, y_label: str, path: Path, x_label: str) -> None:
    """A panel an op, a line a provider; logarithmic in y, and in x for sizes."""
    ops = [op for op in OPS if any(row["op"] == op for row in rows)]
    figure = Figure(figsize=(6 * len(ops), 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    for ax, op in zip(figure.subplots(1, len(ops), squeeze=False).flat, ops, strict=True):
        here = [row for row in rows if row["op"] == op]
        for provider in dict.fromkeys(row["provider"] for row in here):
            line = sorted(
                (float(row[x]), float(row[y])) for row in here if row["provider"] == provider
            )
            kind = next(row["kind"] for row in here if row["provider"] == provider)
            style = "--" if kind == "copy" else "-"
            color = "k" if kind == "copy" else COLORS[kind]
            ax.plot(*zip(*line, strict=True), style, marker="o", markersize=3, color=color)
            ax.annotate(provider, line[-1], xytext=(4, 0), textcoords="offset points", fontsize=7)
        ax.set_title(op)
        ax.set_yscale("log")
        if x == "net":
            ax.set_xscale("log")
        ax.set_xlabel(x_label)
        ax.set_ylabel(y_label)
        ax.margins(x=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=DPI, format="png")


if __name__ == "__main__":
    sys.exit(main())
