"""Many runs side by side: methods x sparsities x distributions x seeds, in worker processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsr.distributions import DISTRIBUTIONS
from dsr.experiments.config import RunConfig, draws_masks
from dsr.experiments.folder import (
    RunFolder,
    check_new_folder,
    make_folder,
    read_json,
    write_json,
    write_text,
)
from dsr.experiments.options import check_choice, hyper_parameters
from dsr.experiments.train import Training
from dsr.experiments.workers import run_all
from dsr.methods import METHODS

if TYPE_CHECKING:
    import pandas as pd

PLAN, TABLE, PICTURE = "compare.json", "compare.csv", "compare.png"
AXES = ("sparsity", "distribution", "seed")
COLUMNS = ("method", "sparsity", "distribution", "seed", "test_accuracy", "nonzeros", "seconds")


class Comparison:
    """A grid of runs in one folder, everything checked and nothing written yet.

    A method that starts from no random masks (compressed, SNIP) is run once a sparsity and seed,
    whatever the distributions; the dense network once a seed. A run that is finished is not run
    again, an unfinished one is continued; a later grid may add to the folder as long as settings
    and hyper-parameters agree.

    Args:
        out: folder, new or empty or of an earlier comparison; each run gets a folder in it.
        methods: names in ``dsr.methods.METHODS``.
        sparsity: fractions of zeros, in [0, 1).
        distribution: initial distributions over the layers.
        seeds: one run each.
        options: hyper-parameters by method, then by name.
        jobs: worker processes, one thread each; None: one a core. Results do not depend on it.
        checkpoint_every: epochs between the checkpoints of a run; None: 10, or what a run to
            continue had.
        settings: the other settings of :class:`RunConfig`, the same for all runs.

    Raises:
        ValueError, TypeError: a setting, or ``out`` cannot be used; the text starts with its name,
            ``options.METHOD.name`` for a hyper-parameter.
    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        *,
        methods: Sequence[str] = ("static", "set", "dsr"),
        sparsity: Sequence[float] = (0.9,),
        distribution: Sequence[str] = ("uniform",),
        seeds: Sequence[int] = (0, 1, 2, 3, 4),
        options: Mapping[str, Mapping[str, Any]] | None = None,
        jobs: int | None = None,
        checkpoint_every: int | None = None,
        **settings: Any,
    ) -> None:
        for name, count in (("jobs", jobs), ("checkpoint_every", checkpoint_every)):
            if count is not None and count < 1:
                raise ValueError(f"{name}: expected at least 1, got {count}")
        self.path, self.jobs, self.checkpoint_every = Path(out), jobs, checkpoint_every
        grid = {"methods": methods, "sparsity": sparsity, "distribution": distribution}
        for name, values in {**grid, "seeds": seeds}.items():
            _check_distinct(name, values)
        for method in methods:
            check_choice("methods", method, METHODS)
        for name in distribution:
            check_choice("distribution", name, DISTRIBUTIONS)
        for method in options or {}:
            check_choice("options", method, methods)
        self.runs: dict[str, RunConfig] = {}
        for method in methods:
            own = (options or {}).get(method, {})
            for config in _configs(method, sparsity, distribution, seeds, own, settings):
                self.runs[_run_name(config)] = config
        self.plan = self._merged_plan()
        self.finished = [name for name, config in self.runs.items() if self._is_finished(config)]
        for config in self.runs.values():
            if config.seed == seeds[0]:
                Training(config)

    @property
    def pending(self) -> dict[Path, RunConfig]:
        """The runs that are not finished, by folder."""
        return {
            self.path / name: config
            for name, config in self.runs.items()
            if name not in self.finished
        }

    def start(self) -> None:
        """Create the folder; :meth:`run` does it too.

        Raises:
            ValueError: starts with ``out``; the folder cannot be written.
        """
        make_folder(self.path)
        write_json(self.path / PLAN, self.plan)

    def run(self, progress: Callable[[str], None] | None = None) -> dict[str, str]:
        """Run what is not finished yet and write ``compare.csv`` and ``compare.png``.

        Args:
            progress: called with the name of each run that ended.

        Returns:
            What went wrong, by name of the run; empty if all runs are finished.
        """
        self.start()
        errors = run_all(self.pending, self.jobs, self.checkpoint_every, progress)
        frame = self.table()
        if len(frame):
            from dsr.plots import plot_comparison

            write_text(self.path / TABLE, frame.to_csv(index=False))
            plot_comparison(frame, self.path / PICTURE)
        return errors

    def table(self) -> pd.DataFrame:
        """One row for each finished run in the folder, those of earlier grids too."""
        import pandas as pd

        rows = []
        for folder in map(RunFolder, sorted(self.path.iterdir())):
            if folder.exists and folder.finished:
                summary, config = folder.summary(), folder.config()
                values = {**vars(summary), "method": config.method, "sparsity": config.sparsity}
                rows.append({name: values[name] for name in COLUMNS})
        frame = pd.DataFrame(rows, columns=list(COLUMNS))
        ranks = {"method": list(self.plan), "distribution": [*DISTRIBUTIONS, "saliency"]}
        return frame.sort_values(
            ["distribution", "sparsity", "method", "seed"],
            key=lambda c: c.map(ranks[c.name].index) if c.name in ranks else c,
            ignore_index=True,
        )

    def _merged_plan(self) -> dict[str, Any]:
        """The settings of each method, joined with what an earlier grid wrote in the folder.

        Raises:
            ValueError: the folder holds something else, or the two disagree.
        """
        ours = {config.method: config for config in self.runs.values()}
        theirs: dict[str, RunConfig] = {}
        file = self.path / PLAN
        if file.is_file():
            try:
                theirs = {name: RunConfig(**values) for name, values in read_json(file).items()}
            except (ValueError, TypeError) as error:
                raise ValueError(f"out: {file}: {error}") from error
        else:
            check_new_folder(self.path)
        for config in ours.values():
            for name, old in theirs.items():
                self._check_agree(old.flat(), config.flat(), name == config.method)
        return {
            name: {k: v for k, v in config.to_dict().items() if k not in AXES}
            for name, config in {**theirs, **ours}.items()
        }

    def _check_agree(
        self, old: Mapping[str, Any], new: Mapping[str, Any], same_method: bool
    ) -> None:
        for name, value in new.items():
            of_method = name == "l1" or name.startswith("options.")
            if name in (*AXES, "method") or (of_method and not same_method):
                continue
            if value != old[name]:
                shown = name.replace("options.", f"options.{new['method']}.", 1)
                raise ValueError(
                    f"{shown}: expected {old[name]!r}, as the runs in {self.path} have it, "
                    f"got {value!r}"
                )

    def _is_finished(self, config: RunConfig) -> bool:
        folder = RunFolder(self.path / _run_name(config))
        if not folder.exists:
            if folder.path.exists():
                check_new_folder(folder.path)
            return False
        if folder.config() != config:
            raise ValueError(f"out: {folder.path} holds a run with other settings than this grid")
        return folder.finished


def _configs(
    method: str,
    sparsity: Sequence[float],
    distribution: Sequence[str],
    seeds: Sequence[int],
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> list[RunConfig]:
    common = {"method": method, "options": options, **settings}
    try:
        plain = RunConfig(**common)
        if "sparsity" not in hyper_parameters(METHODS[method]):
            points: list[tuple[float | None, str]] = [(None, "uniform")]
        elif draws_masks(plain.build_method()):
            points = [(s, d) for d in distribution for s in sparsity]
        else:
            points = [(s, "uniform") for s in sparsity]
        return [
            RunConfig(sparsity=s, distribution=d, seed=seed, **common)
            for s, d in points
            for seed in seeds
        ]
    except (ValueError, TypeError) as error:
        text = str(error)
        if text.startswith("options."):
            text = text.replace("options.", f"options.{method}.", 1)
        raise type(error)(text) from error


def _run_name(config: RunConfig) -> str:
    parts = [config.method]
    if "sparsity" in hyper_parameters(METHODS[config.method]):
        parts.append(str(config.sparsity))
    if draws_masks(config.build_method()):
        parts.append(config.distribution)
    return "-".join([*parts, f"seed{config.seed}"])


def _check_distinct(name: str, values: Sequence[Any]) -> None:
    if isinstance(values, str) or not len(values):
        raise ValueError(f"{name}: expected at least one value in a sequence, got {values!r}")
    twice = [value for i, value in enumerate(values) if value in values[:i]]
    if twice:
        raise ValueError(f"{name}: expected each value once, got {twice[0]!r} twice")
