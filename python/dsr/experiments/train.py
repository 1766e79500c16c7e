"""One training run: model, data and method from a :class:`RunConfig`, resumable to the bit."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from dsr.checkpoints import Checkpoints
from dsr.data import DATA
from dsr.divergence import world_size
from dsr.experiments import ranks
from dsr.experiments.config import RunConfig
from dsr.experiments.folder import LAYERS, METRICS, Row, RunFolder, Saving
from dsr.experiments.network import build_network, network_data, rescale
from dsr.experiments.recipe import (
    batches_per_epoch,
    deterministic,
    first_batch_loss,
    measure_accuracy,
    sgd,
    train_epoch,
)
from dsr.experiments.scalars import scalars
from dsr.experiments.start import dense_weights, given_masks, source_config, weights_seed
from dsr.experiments.summary import Summary, summarise
from dsr.models import sparse_layers
from dsr.sparsify import sparsify

Progress = Callable[[Row], None]


def run(
    config: RunConfig,
    out: str | os.PathLike[str] | None = None,
    *,
    resume: bool = False,
    checkpoint_every: int | None = None,
    tensorboard: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Train a sparse network as ``config`` says.

    With several ranks each of them calls it, in a process group of ``config.world_size`` ranks.
    Rank 0 alone writes files, and measures the test accuracy that all of them return.

    Args:
        config: what to train.
        out: folder to write to, new or empty; None writes nothing. The same one for all ranks.
        resume: continue the run in ``out`` from its latest checkpoint.
        checkpoint_every: epochs between checkpoints; there is always one at the end. None: 10, or
            what the run to continue had.
        tensorboard: also write the metrics for TensorBoard; a continued run that did, does.
        progress: called with each row of ``metrics.jsonl`` once it is written.

    Returns:
        The summary; that of a finished run without training again.

    Raises:
        ValueError, TypeError: a setting, or ``out`` cannot be used; nothing was written.
        RuntimeError: the training diverged.

    Example:
        >>> run(RunConfig(method="static", epochs=1)).distribution
        'uniform'
    """
    training = Training(
        config, out, resume=resume, checkpoint_every=checkpoint_every, tensorboard=tensorboard
    )
    return training.run(progress)


class Training:
    """A run with everything built and checked, and nothing written yet.

    Attributes:
        epoch: epochs done, above 0 where a run is resumed.
        rows, layer_rows: metrics and layer sparsities of those epochs.
        summary: the result if the run in ``out`` is finished, else None.
        folder: where this process writes; None for ranks other than 0.
    """

    def __init__(
        self,
        config: RunConfig,
        out: str | os.PathLike[str] | None = None,
        *,
        resume: bool = False,
        checkpoint_every: int | None = None,
        tensorboard: bool = False,
    ) -> None:
        """Build the run; the arguments are those of :func:`run`."""
        self.config, self.epoch, self.rows = config, 0, list[Row]()
        self.folder = None if out is None else RunFolder(out)
        self.summary: Summary | None = None
        self._started = False
        if resume:
            self._check_same_config()
        elif self.folder is not None and ranks.rank() == 0:
            self.folder.check_new()
        self.saving = self._saving(resume, checkpoint_every, tensorboard)
        if config.world_size != world_size():
            raise ValueError(
                f"world_size: expected {world_size()}, the ranks here, got {config.world_size}"
            )
        ranks.check_same("resume", resume + (self.summary is not None))
        if self.summary is None:
            self._build()
            self.layer_rows = [self._layer_row()]
            if resume and self.folder is not None:
                self._load(self.folder)
            ranks.check_same("resume", self.epoch)
            with deterministic(self.device):
                self.network = ranks.parallel(self.model, self.data.train_images[:2])
        if ranks.rank() > 0:
            self.folder = None

    def start(self) -> None:
        """Create the folder, or cut its rows back to the checkpoint; :meth:`run` does it too.

        Raises:
            ValueError: starts with ``out``; the folder cannot be written.
        """
        if self.folder is not None and self.summary is None and not self._started:
            self.folder.start(self.config, self.saving, self.rows, self.layer_rows)
            self._started = True

    def run(self, progress: Progress | None = None) -> Summary:
        """Train the epochs that are left, write the files, return the result."""
        if self.summary is not None:
            return self.summary
        self.start()
        logs = self.folder.tensorboard if self.folder and self.saving.tensorboard else None
        done = self.epoch * self.batches
        with deterministic(self.device), scalars(logs, done) as write_scalars:
            while self.epoch < self.config.epochs:
                self.epoch += 1
                row = self._train_epoch()
                self._record(row)
                write_scalars(row)
                if progress is not None:
                    progress(row)
                self._checkpoint()
        self.summary = summarise(self.config.seed, self.sparse.distribution, self.rows)
        if self.folder is not None:
            from dsr.plots import plot_layers

            plot_layers(self.layer_rows, self.folder.picture)
            self.folder.finish(self.summary)
        return self.summary

    def _build(self) -> None:
        config = self.config
        self.device = ranks.local_device(config.device)
        source = source_config(config)
        self.data = network_data(config.model, DATA[config.data]()).to(self.device)
        self.batches = batches_per_epoch(
            len(self.data.train_labels), config.batch_size, config.world_size
        )
        model = build_network(config.model, self.data, weights_seed(config, source), config.init)
        include = sparse_layers(model)
        parameters = dict(model.named_parameters())
        masks = given_masks(config, {name: tuple(parameters[name].shape) for name in include})
        if (trained := dense_weights(config)) is not None:
            model.load_state_dict(trained)
        self.model: nn.Module = model.to(self.device)
        method = config.build_method()
        loss = partial(first_batch_loss, self.model, self.data, config)
        with deterministic(self.device):
            self.sparse = sparsify(
                self.model,
                method,
                total_steps=self.batches * config.epochs,
                include=include,
                distribution=config.distribution,
                masks=masks,
                calibrate=loss if method.needs_calibration else None,
                seed=config.seed,
            )
        if config.init == "rescaled" and trained is None:
            rescale(self.sparse)
        self.optimizer = sgd(self.model, config)
        self.sparse.attach(self.optimizer)

    def _saving(self, resume: bool, checkpoint_every: int | None, tensorboard: bool) -> Saving:
        """What to write: as given, the rest as the run to continue has it."""
        stored = self.folder.saving() if resume and self.folder is not None else Saving()
        every = stored.checkpoint_every if checkpoint_every is None else checkpoint_every
        return Saving(every, tensorboard or stored.tensorboard)

    def _check_same_config(self) -> None:
        if self.folder is None:
            raise ValueError("out: expected the folder of the run to resume, got None")
        stored, given = self.folder.config().flat(), self.config.flat()
        for name, value in stored.items():
            if name not in given or given[name] != value:
                raise ValueError(
                    f"{name}: expected {value!r}, as in {self.folder.path}, got {given.get(name)!r}"
                )
        if self.folder.finished:
            self.summary, self.epoch = self.folder.summary(), self.config.epochs
            self.rows = self.folder.rows(METRICS, 1, self.epoch)
            self.layer_rows = self.folder.rows(LAYERS, 0, self.epoch)

    def _load(self, folder: RunFolder) -> None:
        if not folder.checkpoints.is_dir():
            return
        try:
            step = Checkpoints(folder.checkpoints).load_latest(**self._parts())
        except (ValueError, TypeError, RuntimeError, OSError) as error:
            raise ValueError(f"resume: {error}") from error
        if step is None:
            return
        self.epoch, rest = divmod(step, self.batches)
        if rest or not 0 < self.epoch <= self.config.epochs:
            raise ValueError(
                f"resume: expected a checkpoint at the end of an epoch, got step {step}"
            )
        self.rows = folder.rows(METRICS, 1, self.epoch)
        self.layer_rows = folder.rows(LAYERS, 0, self.epoch)

    def _parts(self) -> dict[str, Any]:
        return {"model": self.model, "optimizer": self.optimizer, "sparse": self.sparse}

    def _train_epoch(self) -> Row:
        start = time.perf_counter()
        before = self.sparse.stats()
        try:
            loss = train_epoch(
                self.network, self.sparse, self.optimizer, self.data, self.config, self.epoch
            )
            if not math.isfinite(loss):
                raise FloatingPointError(f"loss {loss}")
        except FloatingPointError as error:
            where = f"training diverged in epoch {self.epoch}"
            raise RuntimeError(f"{where}, a smaller lr may help: {error}") from error
        accuracy = measure_accuracy(self.model, self.data) if ranks.rank() == 0 else 0.0
        accuracy = ranks.from_first(accuracy)
        stats = self.sparse.stats()
        return {
            "epoch": self.epoch,
            "step": self.epoch * self.batches,
            "train_loss": loss,
            "test_accuracy": accuracy,
            "nonzeros": stats.active,
            "sparsity": stats.sparsity,
            "threshold": stats.threshold,
            "pruned": stats.total_pruned - before.total_pruned,
            "grown": stats.total_grown - before.total_grown,
            "churn": stats.churn,
            "explored": stats.explored,
            "seconds": time.perf_counter() - start,
        }

    def _layer_row(self) -> Row:
        layers = {layer.name: layer.sparsity for layer in self.sparse.stats().layers}
        return {"epoch": self.epoch, "step": self.epoch * self.batches, "layers": layers}

    def _record(self, row: Row) -> None:
        layer_row = self._layer_row()
        self.rows.append(row)
        self.layer_rows.append(layer_row)
        if self.folder is not None:
            self.folder.append(row, layer_row)

    def _checkpoint(self) -> None:
        due = self.epoch % self.saving.checkpoint_every == 0 or self.epoch == self.config.epochs
        if self.folder is not None and due:
            self.folder.sync_rows()
            step = self.epoch * self.batches
            Checkpoints(self.folder.checkpoints).save(step, **self._parts())
