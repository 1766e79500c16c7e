"""One picture a table: mean and standard deviation of the test accuracy, a line a cell."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

MEASURES = ("seed", "test_accuracy", "nonzeros", "explored", "moved")
SUMMED = ("mean", "std", "active", "explored", "moved", "seeds")
DPI = 150
ROW_HEIGHT = 0.28


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over the seeds, in %, a row a cell in the order of the runs.

    Args:
        frame: a row a run: what is varied, then ``seed``, ``test_accuracy``, ``nonzeros``,
            ``explored`` and perhaps ``moved``, fractions but for ``nonzeros``.

    Returns:
        What is varied, then ``mean``, ``std``, ``explored`` and perhaps ``moved`` (all in %), then
        ``active``, the mean of ``nonzeros``, and ``seeds``.
    """
    keys = [name for name in frame.columns if name not in MEASURES]
    groups = frame.groupby(keys, sort=False)
    accuracy = 100 * groups["test_accuracy"].agg(["mean", "std"])
    counted = [name for name in ("explored", "moved") if name in frame]
    accuracy = accuracy.join(100 * groups[counted].mean())
    counts = {"active": groups["nonzeros"].mean(), "seeds": groups.size()}
    return accuracy.assign(**counts).reset_index()


def draw(frame: pd.DataFrame, title: str, path: Path) -> None:
    """Draw mean and standard deviation of each cell of a table, with the single runs as dots."""
    rows = summary(frame)
    keys = [name for name in rows.columns if name not in SUMMED]
    labels = [", ".join(str(row[key]) for key in keys if row[key] != "-") for row in rows.iloc]
    figure = Figure(figsize=(7.2, 1.1 + ROW_HEIGHT * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    places = range(len(rows))
    spread = rows["std"].fillna(0)
    ax.errorbar(rows["mean"], places, xerr=spread, fmt="|", color="C0", markersize=14, capsize=3)
    for place, row in zip(places, rows.iloc, strict=True):
        same = (frame[keys] == row[keys]).all(axis=1)
        accuracies = 100 * frame[same]["test_accuracy"]
        ax.plot(accuracies, [place] * len(accuracies), "o", color="C1", markersize=3, alpha=0.7)
    ax.set_yticks(list(places), labels)
    ax.invert_yaxis()
    ax.set_xlabel("test accuracy (%): mean, standard deviation, and each run")
    ax.set_ylabel(", ".join(keys))
    ax.set_title(title)
    ax.grid(alpha=0.3, axis="x")
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=DPI)
