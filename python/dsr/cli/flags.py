"""The flags that commands share, and the settings they stand for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from dsr.data import DATA
from dsr.distributions import DISTRIBUTIONS
from dsr.experiments import RunConfig
from dsr.experiments.config import DEFAULT_L1
from dsr.experiments.folder import RunFolder, Saving
from dsr.experiments.options import check_choice, parse_option
from dsr.methods import METHODS
from dsr.models import MODELS


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"expected an integer, got {text!r}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"expected a number, got {text!r}") from None


PARSERS: dict[str, Callable[[str], Any] | None] = {
    "INTEGER": _integer,
    "EPOCHS": _integer,
    "NUMBER": _number,
    "TEXT": None,
}


def _flag(text: str, metavar: str, default: object) -> Any:
    return typer.Option(
        help=text, metavar=metavar, parser=PARSERS[metavar], show_default=str(default)
    )


def switch(name: str, text: str) -> Any:
    """A flag that takes no value, and in the help shows none."""
    return typer.Option(name, help=text, metavar="")


def _setting(name: str, metavar: str, text: str) -> Any:
    return _flag(text, metavar, RunConfig.__dataclass_fields__[name].default)


Out = Annotated[
    Path,
    typer.Option(help="Folder to write to: new, empty, or of the same settings."),
]
RunOut = Annotated[
    Path,
    typer.Option(help="Folder to write to: new or empty, or with --resume that of the run."),
]
Data = Annotated[str | None, _setting("data", "TEXT", f"Data set: {', '.join(DATA)}.")]
Model = Annotated[str | None, _setting("model", "TEXT", f"Model: {', '.join(MODELS)}.")]
Method = Annotated[str | None, _setting("method", "TEXT", "Method; `dsr methods` lists them.")]
Sparsity = Annotated[
    float | None, _flag("Fraction of zeros, in [0, 1).", "NUMBER", "of the method")
]
Distribution = Annotated[
    str | None,
    _setting("distribution", "TEXT", f"Initial allocation: {', '.join(DISTRIBUTIONS)}."),
]
Epochs = Annotated[int | None, _setting("epochs", "INTEGER", "Passes over the training data.")]
BatchSize = Annotated[int | None, _setting("batch_size", "INTEGER", "Rows a step.")]
LearningRate = Annotated[
    float | None,
    _setting("lr", "NUMBER", "Learning rate; times 0.2 at 25, 50 and 75 % of the epochs."),
]
Momentum = Annotated[float | None, _setting("momentum", "NUMBER", "Nesterov momentum.")]
WeightDecay = Annotated[float | None, _setting("weight_decay", "NUMBER", "L2 coefficient.")]
L1 = Annotated[
    float | None,
    _flag("L1 coefficient, on the sparse layers.", "NUMBER", f"{DEFAULT_L1:g}; DeepR: 1e-05"),
]
MasksFrom = Annotated[
    str | None, _flag("Start from the final masks of the run in this folder.", "TEXT", "random")
]
Structure = Annotated[
    str | None,
    _flag("With --masks-from: final, or random masks of its layer counts.", "TEXT", "final"),
]
Weights = Annotated[
    str | None,
    _flag("With --masks-from: that run's original weights, or a random draw.", "TEXT", "original"),
]
DenseFrom = Annotated[
    str | None,
    _flag("Start from the final weights of the dense run in this folder.", "TEXT", "none"),
]
Init = Annotated[
    str | None,
    _setting("init", "TEXT", "Initial weights: default, or rescaled to the active ones."),
]
Seed = Annotated[int | None, _setting("seed", "INTEGER", "Of the weights, masks and row order.")]
Device = Annotated[str | None, _setting("device", "TEXT", "auto, cpu, cuda or cuda:INDEX.")]
Option = Annotated[
    list[str] | None,
    typer.Option("-o", metavar="NAME=VALUE", help="A hyper-parameter of the method; repeatable."),
]
Resume = Annotated[
    bool, switch("--resume", "Continue the run in --out; other flags may be left out.")
]
CheckpointEvery = Annotated[
    int | None,
    _flag(
        "Epochs between checkpoints; there is always one at the end.",
        "EPOCHS",
        Saving.checkpoint_every,
    ),
]
TensorBoard = Annotated[bool, switch("--tensorboard", "Also write OUT/tensorboard.")]

Methods = Annotated[str, typer.Option(help="Methods, separated by commas.")]
Sparsities = Annotated[str, typer.Option(help="Fractions of zeros, separated by commas.")]
Distributions = Annotated[str, typer.Option(help="Initial allocations, separated by commas.")]
Seeds = Annotated[str, typer.Option(help="Seeds, such as 0-4 or 0,3,7.")]
MethodOption = Annotated[
    list[str] | None,
    typer.Option("-o", metavar="METHOD.NAME=VALUE", help="A hyper-parameter; repeatable."),
]
Jobs = Annotated[
    int | None, _flag("Processes, of one thread each; changes no result.", "INTEGER", "one a core")
]


def settings(flags: dict[str, Any]) -> dict[str, Any]:
    """Of a command's arguments, those that were given and are settings of a run."""
    names = RunConfig.__dataclass_fields__
    return {k: v for k, v in flags.items() if k in names and v is not None}


def run_config(resumed: RunFolder | None, given: dict[str, Any], options: list[str]) -> RunConfig:
    """The settings of a run; to resume one, its own with what was given on top.

    Raises:
        ValueError, TypeError: the text starts with the setting's name.
    """
    stored = {} if resumed is None else resumed.config().to_dict()
    method = given.get("method", stored.get("method", RunConfig.method))
    check_choice("method", method, METHODS)
    if method != stored.get("method"):
        stored.pop("options", None)
    pairs = _distinct(parse_option(METHODS[method], text) for text in options)
    return RunConfig(**{**stored, **given, "options": stored.get("options", {}) | pairs})


def options_by_method(methods: list[str], options: list[str]) -> dict[str, dict[str, Any]]:
    """``METHOD.NAME=VALUE`` texts as values by name, by method.

    Raises:
        ValueError: starts with ``options``; the method is not one of ``methods``.
    """
    by_method: dict[str, list[str]] = {}
    for text in options:
        match = re.fullmatch(r"([^.=]+)\.([^=]+=.*)", text, re.DOTALL)
        if not match:
            raise ValueError(f"options: expected METHOD.NAME=VALUE, got {text!r}")
        check_choice("options", match[1], methods)
        by_method.setdefault(match[1], []).append(match[2])
    return {
        method: _distinct(
            parse_option(METHODS[method], text, f"options.{method}") for text in texts
        )
        for method, texts in by_method.items()
        if method in METHODS
    }


def _distinct(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"options.{name}: expected once, got it twice")
        values[name] = value
    return values
