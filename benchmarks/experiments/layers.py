"""Where each method keeps its weights: `python -m benchmarks.experiments.layers`.

Reads the runs that `run methods` has left in --out. Writes layers.csv, the sparsity of each layer
at the end, and layers.png, over the epochs, for the first seed from a uniform allocation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.experiments.grids import Cell, methods
from benchmarks.experiments.picture import DPI
from dsr.experiments.folder import LAYERS, Row, RunFolder

RESULTS = Path(__file__).parents[1] / "results" / "experiments"
COLUMNS = 3


def main() -> None:
    """Write the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs-experiments"), help="of the runs")
    out = parser.parse_args().out.absolute() / "methods"
    found = {cell.keys["method"]: _rows(cell, out) for cell in _first(methods(out))}
    frame = pd.DataFrame([{"method": name, **_final(rows)} for name, rows in found.items()])
    frame.to_csv(RESULTS / "layers.csv", index=False)
    draw(found, RESULTS / "layers.png")


def draw(found: dict[str, list[Row]], path: Path) -> None:
    """Draw the active weights of each layer over the epochs, a panel a method.

    Args:
        found: rows of ``layers.jsonl`` by method.
        path: the PNG to write.
    """
    height = -(-len(found) // COLUMNS)
    figure = Figure(figsize=(9.6, 2.4 * height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(height, COLUMNS, squeeze=False, sharex=True, sharey=True).flatten()
    for ax, (method, rows) in zip(panels, found.items(), strict=False):
        for i, name in enumerate(rows[0]["layers"]):
            active = [100 * (1 - row["layers"][name]) for row in rows]
            label = name.removesuffix(".weight")
            ax.plot([row["epoch"] for row in rows], active, color=f"C{i}", label=label)
        ax.set_yscale("log")
        ax.set_title(method, fontsize=10)
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8)
    figure.supxlabel("epoch")
    figure.supylabel("active weights of the layer (%)")
    figure.savefig(path, dpi=DPI)


def _first(cells: list[Cell]) -> list[Cell]:
    return [
        cell
        for cell in cells
        if cell.config.seed == 0 and cell.keys["distribution"] in ("-", "uniform")
    ]


def _rows(cell: Cell, out: Path) -> list[Row]:
    return RunFolder(out / cell.folder).rows(LAYERS, 0, cell.config.epochs)


def _final(rows: list[Row]) -> dict[str, str]:
    layers = rows[-1]["layers"].items()
    return {f"{name.removesuffix('.weight')}, %": f"{100 * s:.2f}" for name, s in layers}


if __name__ == "__main__":
    main()
