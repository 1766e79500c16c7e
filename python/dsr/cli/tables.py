"""What the command line shows: progress bars and tables."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from dsr.experiments.options import hyper_parameters
from dsr.experiments.summary import Summary
from dsr.methods import METHODS

if TYPE_CHECKING:
    import pandas as pd


def progress_bar(unit: str) -> Progress:
    """A bar on stderr that counts ``unit`` and shows the task's field ``text``."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def summary_table(title: str, summary: Summary) -> Table:
    """The result of one run."""
    table = Table(title=escape(title), show_header=False)
    table.add_row("test accuracy", f"{summary.test_accuracy:.2%}")
    table.add_row("nonzeros", f"{summary.nonzeros:,}")
    table.add_row("sparsity", f"{summary.sparsity:.4g}")
    table.add_row("initial allocation", summary.distribution)
    table.add_row("seed", str(summary.seed))
    table.add_row("seconds", f"{summary.seconds:.1f}")
    return table


def layer_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The sparsity of each layer before and after training."""
    table = Table("layer", title="sparsity of the layers")
    for row in (rows[0], rows[-1]):
        table.add_column(f"epoch {row['epoch']}", justify="right")
    for name, start in rows[0]["layers"].items():
        table.add_row(escape(name), f"{start:.2%}", f"{rows[-1]['layers'][name]:.2%}")
    return table


def comparison_tables(runs: pd.DataFrame) -> Group:
    """Mean and standard deviation of the test accuracy: a table for each initial allocation.

    Runs that start from no random masks (dense, SNIP) are in every table.
    """
    sizes = runs.groupby(["method", "sparsity", "distribution"]).size()
    seeds = int(sizes.iloc[0]) if sizes.nunique() == 1 else None
    count = f"seeds each: {seeds}" if seeds else "(seeds)"
    heading = f"test accuracy in %, mean ± std, {count}"
    everywhere = (runs["method"] == "dense") | (runs["distribution"] == "saliency")
    tables = []
    for distribution in dict.fromkeys(runs[~everywhere]["distribution"]):
        here = runs[everywhere | (runs["distribution"] == distribution)]
        tables.append(_accuracies(here, f"initial allocation: {distribution}", seeds))
    return Group(heading, *(tables or [_accuracies(runs, "no random masks", seeds)]))


def _accuracies(runs: pd.DataFrame, title: str, seeds: int | None) -> Table:
    methods = list(dict.fromkeys(runs["method"]))
    table = Table(title=title)
    for name in ("sparsity", *methods):
        table.add_column(name, justify="right")
    for sparsity, group in runs.groupby("sparsity"):
        cells = [_cell(group[group["method"] == m]["test_accuracy"], seeds) for m in methods]
        table.add_row(f"{sparsity:g}", *cells)
    return table


def _cell(accuracies: pd.Series, seeds: int | None) -> str:
    if not len(accuracies):
        return "-"
    mean, std = 100 * accuracies.mean(), 100 * accuracies.std(ddof=1)
    text = f"{mean:.1f}" if len(accuracies) == 1 else f"{mean:.1f} ± {std:.1f}"
    return text if seeds else f"{text} ({len(accuracies)})"


def methods_table() -> Table:
    """The methods by name, one sentence each."""
    table = Table("method", "what it does")
    for name, method in sorted(METHODS.items()):
        table.add_row(name, escape(_documentation(method).partition("\n")[0]))
    return table


def hyper_parameter_table(name: str) -> Table:
    """The hyper-parameters of one method: name, type, default."""
    table = Table("hyper-parameter", "type", "default", title=f"method {name}")
    for field in hyper_parameters(METHODS[name]).values():
        kind = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", "?")
        default = "(required)" if field.default is dataclasses.MISSING else str(field.default)
        table.add_row(field.name, escape(kind), escape(default))
    return table


def method_text(name: str) -> str:
    """The docstring of a method."""
    return _documentation(METHODS[name])


def _documentation(method: type) -> str:
    return inspect.getdoc(method) or "(no description)"
