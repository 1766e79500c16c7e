"""Two pictures of committed results: time against the number of weights, speed over sparsity.

A provider that was replayed from a CUDA graph in every case shown is drawn by its replays, any
other by its calls.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.entries import Row
from benchmarks.markdown import FormatError, read_rows
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
    try:
        rows = [row for op in OPS for row in read_rows(options.folder / f"{op}.csv", COLUMNS)]
    except FormatError as error:
        parser.error(str(error))
    timed = [row for row in rows if row["median_us"] and row.get("dtype", "float32") == "float32"]
    sizes = [row for row in timed if row["net"] in SIZES]
    sparsities = [row for row in timed if row["net"] == options.net]
    if not sizes and len({row["sparsity"] for row in sparsities}) < 2:
        parser.error(f"{options.folder}: nothing measured by size or at several sparsities")
    if sizes:
        _draw(sizes, "net", options.folder / BY_SIZE, "weights")
    if len({row["sparsity"] for row in sparsities}) > 1:
        name = f"sparsity, {options.net}"
        _draw(sparsities, "sparsity", options.folder / BY_SPARSITY, name)
    return 0


REPLAYED, CALLED = "o", "x"  # markers
FIELDS = {  # by the horizontal axis: the vertical one's field of calls, of replays, its name
    "net": ("median_us", "graph_us", "us"),
    "sparsity": ("speedup", "graph_speedup", "times ours"),
}


def line_of(rows: Sequence[Row], x: str) -> tuple[list[tuple[float, float]], str]:
    """One provider's points, and the marker that says whether they are replays or calls."""
    called, replayed, _ = FIELDS[x]
    field, marker = (
        (replayed, REPLAYED) if all(row.get(replayed) for row in rows) else (called, CALLED)
    )
    return sorted((float(row[x]), float(row[field])) for row in rows if row[field]), marker


def axis_label(x: str, markers: Collection[str]) -> str:
    *_, name = FIELDS[x]
    words = {REPLAYED: "graph replay", CALLED: "host calls"}
    if len(set(markers)) == 1:
        return f"{name}, {words[next(iter(markers))]}"
    return f"{name}: {words[REPLAYED]} ({REPLAYED}), {words[CALLED]} ({CALLED})"


def _draw(rows: Sequence[Row], x: str, path: Path, x_label: str) -> None:
    """A panel an op, a line a provider; logarithmic in y, and in x for sizes."""
    ops = [op for op in OPS if any(row["op"] == op for row in rows)]
    figure = Figure(figsize=(6 * len(ops), 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    for ax, op in zip(figure.subplots(1, len(ops), squeeze=False).flat, ops, strict=True):
        here = [row for row in rows if row["op"] == op]
        markers = []
        for provider in dict.fromkeys(row["provider"] for row in here):
            own = [row for row in here if row["provider"] == provider]
            line, marker = line_of(own, x)
            if not line:
                continue
            markers.append(marker)
            kind = own[0]["kind"]
            style = "--" if kind == "copy" else "-"
            color = "k" if kind == "copy" else COLORS[kind]
            ax.plot(*zip(*line, strict=True), style, marker=marker, markersize=3, color=color)
            ax.annotate(provider, line[-1], xytext=(4, 0), textcoords="offset points", fontsize=7)
        ax.set_title(op)
        ax.set_yscale("log")
        if x == "net":
            ax.set_xscale("log")
        ax.set_xlabel(x_label)
        ax.set_ylabel(axis_label(x, markers))
        ax.margins(x=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=DPI, format="png")


if __name__ == "__main__":
    sys.exit(main())
