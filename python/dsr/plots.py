"""Pictures of training: layer sparsities over time, accuracy against sparsity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
MAX_NAMED_LAYERS = 20
MIN_SPAN = 2.0


def plot_layers(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the sparsity of each layer over training.

    Args:
        rows: ``{"epoch": int, "layers": {name: sparsity in [0, 1]}}``, ascending epochs.
        path: the PNG to write.
    """
    import matplotlib as mpl
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure(1)
    ax = axes[0]
    epochs = [row["epoch"] for row in rows]
    names = list(rows[0]["layers"])
    stride = -(-len(names) // MAX_NAMED_LAYERS)
    colors = mpl.colormaps["viridis"]
    for i, name in enumerate(names):
        color = colors(0.9 * i / max(1, len(names) - 1))
        label = name.removesuffix(".weight") if i % stride == 0 else None
        sparsity = [100 * row["layers"][name] for row in rows]
        ax.plot(epochs, sparsity, color=color, label=label, linewidth=1.8)
    ax.set_xlabel("epoch")
    ax.set_ylabel("sparsity of the layer (%)")
    ax.set_title("Where the zeros are during training")
    ax.set_xlim(epochs[0], max(epochs[-1], epochs[0] + 1))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.margins(y=0.08)
    low, high = ax.get_ylim()
    if high - low < MIN_SPAN:  # a mask that stays: show a flat line, not rounding
        middle = (low + high) / 2
        ax.set_ylim(middle - MIN_SPAN / 2, middle + MIN_SPAN / 2)
    _finish(figure, ax, path, "layer, input to output")


def plot_comparison(runs: pd.DataFrame, path: Path) -> None:
    """Draw mean test accuracy against sparsity, one line a method, one panel a distribution.

    Args:
        runs: one row a run, columns ``method``, ``sparsity``, ``distribution`` and
            ``test_accuracy`` (the last in [0, 1]). Dense runs become a horizontal line; runs whose
            distribution is "saliency" are drawn in every panel.
        path: the PNG to write.
    """
    dense = runs[runs["method"] == "dense"]
    sparse = runs[runs["method"] != "dense"]
    own = sparse["distribution"] == "saliency"
    panels = list(dict.fromkeys(sparse["distribution"][~own])) or ["no random masks"]
    figure, axes = _figure(len(panels))
    methods = list(dict.fromkeys(sparse["method"]))
    for ax, distribution in zip(axes, panels, strict=True):
        here = sparse[own | (sparse["distribution"] == distribution)]
        for i, method in enumerate(methods):
            _draw_method(ax, here[here["method"] == method], method, i, len(methods))
        if len(dense):
            accuracy = 100 * dense["test_accuracy"].mean()
            ax.axhline(accuracy, color="0.4", linestyle="--", linewidth=1.2, label="dense")
        ax.set_title(f"initial allocation: {distribution}")
        ax.set_xlabel("sparsity (%)")
        ax.set_xticks(sorted({100 * s for s in sparse["sparsity"]}))
        ax.xaxis.set_major_formatter("{x:g}")
    axes[0].set_ylabel("test accuracy (%)")
    seeds = int(runs.groupby(["method", "sparsity", "distribution"]).size().max())
    title = f"method\n(mean and standard\ndeviation, {seeds} seeds)" if seeds > 1 else "method"
    _finish(figure, axes[-1], path, title)


def _draw_method(ax: Axes, runs: pd.DataFrame, method: str, index: int, methods: int) -> None:
    groups = runs.groupby("sparsity")["test_accuracy"]
    mean, std = 100 * groups.mean(), 100 * groups.std(ddof=1).fillna(0)
    ax.errorbar(
        100 * mean.index.to_numpy(),
        mean.to_numpy(),
        std.to_numpy(),
        label=method,
        color=f"C{index}",
        marker="os^Dv*P"[index % 7],
        capsize=3,
        linewidth=1.8,
    )


def _figure(panels: int) -> tuple[Figure, Sequence[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A figure of its own instead of pyplot: no display, no global state, no backend switched.
    figure = Figure(figsize=(3.2 + 4.0 * panels, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, squeeze=False, sharey=True)[0]
    for ax in axes:
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    return figure, list(axes)


def _finish(figure: Figure, ax: Axes, path: Path, legend_title: str) -> None:
    if ax.get_legend_handles_labels()[0]:
        ax.legend(title=legend_title, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    temporary = path.with_name(f".writing-{path.name}")
    figure.savefig(temporary, dpi=DPI, format="png")
    temporary.replace(path)
