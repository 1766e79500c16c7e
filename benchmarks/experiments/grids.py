"""The runs of each experiment: what is varied, and what stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsr.experiments import RunConfig

SEEDS = range(5)
FEW_SEEDS = range(3)
TASK_EPOCHS, STOP_EPOCHS, ABLATION_EPOCHS = 50, 50, 30
STOPS = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
RANDOM_START = ("static", "deepr", "set", "dsr", "sparse-momentum", "rigl")
REDISTRIBUTIONS = ("momentum", "magnitude", "nonzeros", "none")
GROWTHS = ("momentum", "random")


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
        return "-".join([*parts, f"seed{self.config.seed}"])


def methods(out: Path) -> list[Cell]:
    """Every method at sparsity .98, from both initial allocations where it draws masks."""
    few = ("erdos-renyi-kernel",)
    return _method_cells(0.98, ("uniform",), SEEDS) + _drawn_cells(0.98, few, FEW_SEEDS)


def second_task(out: Path) -> list[Cell]:
    """The same methods on another data set."""
    settings = {"data": "breast-cancer", "epochs": TASK_EPOCHS}
    return _method_cells(0.98, ("uniform",), SEEDS, **settings)


def ablation(out: Path) -> list[Cell]:
    """Sparse momentum's redistribution and growth, each replaced by others."""
    return [
        Cell(
            {"redistribution": split, "growth": growth},
            RunConfig(
                method="sparse-momentum",
                sparsity=0.98,
                seed=seed,
                epochs=ABLATION_EPOCHS,
                options={"redistribution": split, "growth": growth},
            ),
        )
        for split in REDISTRIBUTIONS
        for growth in GROWTHS
        for seed in FEW_SEEDS
    ]


def stop(out: Path) -> list[Cell]:
    """DSR, nothing moving after a fraction of training."""
    return [
        Cell(
            {"stop": at},
            RunConfig(sparsity=0.98, seed=seed, epochs=STOP_EPOCHS, options={"stop": at}),
        )
        for at in STOPS
        for seed in FEW_SEEDS
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
                    sparsity=0.98,
                    seed=seed,
                    masks_from=str(out.parent / "methods" / source.folder),
                    structure=masks,
                    weights=weights,
                )
                cells.append(Cell({"structure": masks, "weights": weights}, config))
    return cells


GRIDS: dict[str, Callable[[Path], list[Cell]]] = {
    "methods": methods,
    "structure": structure,
    "second-task": second_task,
    "stop": stop,
    "ablation": ablation,
}


def _method_cells(
    sparsity: float, distributions: tuple[str, ...], seeds: range, **settings: Any
) -> list[Cell]:
    cells = []
    for method in ("dense", "compressed", "snip"):
        own = {} if method == "dense" else {"sparsity": sparsity}
        keys = {"method": method, "distribution": "-"}
        cells += [
            Cell(keys, RunConfig(method=method, seed=seed, **own, **settings)) for seed in seeds
        ]
    return cells + _drawn_cells(sparsity, distributions, seeds, **settings)


def _drawn_cells(
    sparsity: float, distributions: tuple[str, ...], seeds: range, **settings: Any
) -> list[Cell]:
    """The methods that draw their first masks."""
    return [
        Cell(
            {"method": method, "distribution": name},
            RunConfig(method=method, sparsity=sparsity, distribution=name, seed=seed, **settings),
        )
        for name in distributions
        for method in RANDOM_START
        for seed in seeds
    ]
