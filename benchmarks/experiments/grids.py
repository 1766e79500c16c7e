"""The runs of each experiment: what is varied, and what stays."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsr.experiments import RunConfig

SEEDS = range(5)
FEW_SEEDS = range(3)  # of what only looks closer at one method
SPARSITY = 0.98
TASK_EPOCHS, STOP_EPOCHS, ABLATION_EPOCHS = 50, 50, 30
STOPS = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
RANDOM_START = ("static", "deepr", "deepr-soft", "set", "dsr", "sparse-momentum", "rigl")
SOFT: dict[str, Any] = {"soft": True, "temperatures": (1e-5,), "temperature_starts": (0.0,)}
REDISTRIBUTIONS = ("momentum", "magnitude", "nonzeros", "none")
GROWTHS: dict[str, dict[str, Any]] = {
    "momentum": {"growth": "momentum"},
    "momentum, cleared": {"growth": "momentum", "clear_grown": True},
    "random": {"growth": "random"},
}
CONVOLUTIONAL: dict[str, Any] = {"model": "lenet-5", "init": "rescaled", "lr": 0.05, "epochs": 10}


@dataclass(frozen=True)
class Cell:
    """One run of a grid.

    Attributes:
        keys: what is varied, by column of the table, without the seed.
        config: the settings of the run.
    """

    keys: dict[str, Any]
    config: RunConfig

    @property
    def folder(self) -> str:
        parts = [str(value) for value in self.keys.values() if value != "-"]
        return re.sub(r"[^\w.-]+", "-", "-".join([*parts, f"seed{self.config.seed}"]))


def methods(out: Path) -> list[Cell]:
    """Every method at sparsity .98, from both initial allocations where it draws masks."""
    return _method_cells(("uniform", "erdos-renyi-kernel"))


def second_task(out: Path) -> list[Cell]:
    """The same methods on another data set."""
    return _method_cells(("uniform",), data="breast-cancer", epochs=TASK_EPOCHS)


def convolutional(out: Path) -> list[Cell]:
    """The same methods but SNIP, which diverges, on a convolutional network."""
    rescaled = _method_cells(("uniform",), **CONVOLUTIONAL)
    default = _method_cells(("uniform",), **CONVOLUTIONAL | {"init": "default"})
    return [
        plain if cell.keys["method"] in ("dense", "compressed") else cell
        for plain, cell in zip(default, rescaled, strict=True)
        if cell.keys["method"] != "snip"
    ]


def moving(out: Path) -> list[Cell]:
    """DeepR and DSR, by what makes them move more or fewer weights."""
    settings: list[tuple[str, str, dict[str, Any]]] = [
        ("deepr", f"l1 {l1:g}", {"l1": l1}) for l1 in (0.0, 1e-5, 1e-4)
    ]
    quiet = {"temperatures": (0.0,), "temperature_starts": (0.0,)}
    settings.append(("deepr", "l1 1e-05, no noise", {"options": quiet}))
    settings += [("deepr-soft", f"l1 {l1:g}", {"l1": l1, "options": SOFT}) for l1 in (1e-5, 1e-4)]
    settings += [
        ("dsr", f"prune_fraction {fraction:g}", {"options": {"prune_fraction": fraction}})
        for fraction in (0.02, 0.05, 0.1, 0.3)
    ]
    return [
        Cell(
            {"method": method, "setting": label},
            RunConfig(method=method.removesuffix("-soft"), sparsity=SPARSITY, seed=seed, **own),
        )
        for method, label, own in settings
        for seed in FEW_SEEDS
    ]


def pruning(out: Path) -> list[Cell]:
    """Gradual pruning of a dense network, by when it happens and with or without an L1 term."""
    settings: list[tuple[str, dict[str, Any]]] = [
        ("from .5 to .8", {}),
        ("from .5 to .8, no L1", {"l1": 0.0}),
        ("from .3 to .6", {"options": {"begin": 0.3, "end": 0.6}}),
        ("from .1 to .4", {"options": {"begin": 0.1, "end": 0.4}}),
    ]
    return [
        Cell({"pruned": label}, RunConfig(method="compressed", sparsity=SPARSITY, seed=seed, **own))
        for label, own in settings
        for seed in SEEDS
    ]


def ablation(out: Path) -> list[Cell]:
    """Sparse momentum's redistribution and growth, each replaced by others."""
    return [
        cell
        for sparsity in (0.95, SPARSITY)
        for cell in _ablation_cells(
            sparsity, REDISTRIBUTIONS, tuple(GROWTHS), epochs=ABLATION_EPOCHS
        )
    ]


def ablation_lenet5(out: Path) -> list[Cell]:
    """The same at the paper's sparsity on a network without batch normalisation."""
    return _ablation_cells(0.95, REDISTRIBUTIONS, ("momentum", "random"), **CONVOLUTIONAL)


def stop(out: Path) -> list[Cell]:
    """DSR, nothing moving after a fraction of training."""
    return [
        Cell(
            {"stop": at},
            RunConfig(sparsity=SPARSITY, seed=seed, epochs=STOP_EPOCHS, options={"stop": at}),
        )
        for at in STOPS
        for seed in SEEDS
    ]


def structure(out: Path) -> list[Cell]:
    """Masks that DSR ended with or random ones of its layer counts, kept fixed, by start weights.

    The DSR runs are those of :func:`methods`, in a folder beside ``out``.
    """
    cells = []
    for seed in SEEDS:
        source = Cell({"method": "dsr", "distribution": "uniform"}, RunConfig(seed=seed))
        for masks in ("final", "random"):
            for weights in ("original", "random"):
                config = RunConfig(
                    method="static",
                    sparsity=SPARSITY,
                    seed=seed,
                    masks_from=str(out.parent / "methods" / source.folder),
                    structure=masks,
                    weights=weights,
                )
                cells.append(Cell({"structure": masks, "weights": weights}, config))
    return cells


# What the tables show besides accuracy and explored weights.
COUNT_MOVED = ("methods", "moving", "ablation", "ablation-lenet-5")
GRIDS: dict[str, Callable[[Path], list[Cell]]] = {
    "methods": methods,
    "structure": structure,
    "second-task": second_task,
    "convolutional": convolutional,
    "moving": moving,
    "pruning": pruning,
    "stop": stop,
    "ablation": ablation,
    "ablation-lenet-5": ablation_lenet5,
}


def settings_of(name: str) -> dict[str, Any]:
    """The method and its options that stand behind a name in the tables."""
    return {"method": "deepr", "options": SOFT} if name == "deepr-soft" else {"method": name}


def _method_cells(distributions: tuple[str, ...], **settings: Any) -> list[Cell]:
    """Every method; those that draw their first masks from each of these allocations."""
    varied = [("dense", "-"), ("compressed", "-"), ("snip", "-")]
    varied += [(method, name) for name in distributions for method in RANDOM_START]
    cells = []
    for method, name in varied:
        own = settings_of(method) | ({} if method == "dense" else {"sparsity": SPARSITY})
        own |= {} if name == "-" else {"distribution": name}
        keys = {"method": method, "distribution": name}
        cells += [Cell(keys, RunConfig(seed=seed, **own, **settings)) for seed in SEEDS]
    return cells


def _ablation_cells(
    sparsity: float,
    splits: tuple[str, ...],
    growths: tuple[str, ...],
    **settings: Any,
) -> list[Cell]:
    return [
        Cell(
            {"sparsity": sparsity, "redistribution": split, "growth": growth},
            RunConfig(
                method="sparse-momentum",
                sparsity=sparsity,
                seed=seed,
                options={"redistribution": split, **GROWTHS[growth]},
                **settings,
            ),
        )
        for split in splits
        for growth in growths
        for seed in SEEDS
    ]
