"""The files of one run: config, a row an epoch, summary, checkpoints. Nothing is overwritten."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsr.experiments.config import RunConfig
from dsr.experiments.summary import Summary

CONFIG, METRICS, LAYERS, SUMMARY = "config.json", "metrics.jsonl", "layers.jsonl", "summary.json"
CHECKPOINTS, PICTURE, TENSORBOARD = "checkpoints", "layers.png", "tensorboard"
SAVING = "saving.json"
TEMPORARY = ".writing-"

Row = dict[str, Any]


@dataclass(frozen=True)
class Saving:
    """What a run writes beside its rows; no number that it computes depends on this.

    Attributes:
        checkpoint_every: epochs between checkpoints.
        tensorboard: whether the metrics are written for TensorBoard too.

    Raises:
        ValueError, TypeError: the text starts with the name.
    """

    checkpoint_every: int = 10
    tensorboard: bool = False

    def __post_init__(self) -> None:
        every, logs = self.checkpoint_every, self.tensorboard
        if not isinstance(every, int) or isinstance(every, bool):
            raise TypeError(f"checkpoint_every: expected an integer, got {every!r}")
        if every < 1:
            raise ValueError(f"checkpoint_every: expected at least 1, got {every}")
        if not isinstance(logs, bool):
            raise TypeError(f"tensorboard: expected a bool, got {logs!r}")


class RunFolder:
    """The folder that one run writes to, and continues from.

    Rows are appended before the checkpoint they lead up to, so a killed run has rows its last
    checkpoint does not know; :meth:`rows` leaves those out and :meth:`start` cuts them off.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def checkpoints(self) -> Path:
        return self.path / CHECKPOINTS

    @property
    def picture(self) -> Path:
        return self.path / PICTURE

    @property
    def tensorboard(self) -> Path:
        return self.path / TENSORBOARD

    @property
    def exists(self) -> bool:
        """Whether a run was started here."""
        return (self.path / CONFIG).is_file()

    @property
    def finished(self) -> bool:
        return (self.path / SUMMARY).is_file()

    def check_new(self) -> None:
        """Refuse a place where a new run cannot be written.

        Raises:
            ValueError: starts with ``out``.
        """
        if self.exists:
            state = (
                "a finished run" if self.finished else "an unfinished run, --resume continues it"
            )
            raise ValueError(f"out: expected a new folder, got {self.path}, which holds {state}")
        check_new_folder(self.path)

    def config(self) -> RunConfig:
        """The settings of the run in this folder.

        Raises:
            ValueError: starts with ``out``; no run here, or a ``config.json`` that does not parse.
        """
        if not self.exists:
            raise ValueError(f"out: expected the folder of a run to resume, got {self.path}")
        try:
            return RunConfig.from_dict(read_json(self.path / CONFIG))
        except (ValueError, TypeError) as error:
            raise ValueError(f"out: {self.path / CONFIG}: {error}") from error

    def saving(self) -> Saving:
        """What the run in this folder writes; the defaults where it does not say.

        Raises:
            ValueError: starts with ``out``; the file does not parse.
        """
        path = self.path / SAVING
        try:
            return Saving(**read_json(path)) if path.exists() else Saving()
        except (ValueError, TypeError) as error:
            raise ValueError(f"out: {path}: {error}") from error

    def summary(self) -> Summary:
        """The content of ``summary.json``.

        Raises:
            ValueError: starts with ``out``; the file does not parse.
        """
        try:
            return Summary(**read_json(self.path / SUMMARY))
        except (ValueError, TypeError) as error:
            raise ValueError(f"out: {self.path / SUMMARY}: {error}") from error

    def rows(self, name: str, first: int, last: int) -> list[Row]:
        """The rows of epochs ``first`` to ``last`` of a ``.jsonl`` file, later ones left out.

        Raises:
            ValueError: starts with ``out``; a row is missing or does not parse.
        """
        path = self.path / name
        lines = path.read_text().splitlines() if path.exists() else []
        rows = []
        for number, line in enumerate(lines[: last - first + 1], start=1):
            try:
                rows.append(_parse(line))
            except ValueError as error:
                raise ValueError(f"out: {path}, line {number}: {error}") from error
        if [row.get("epoch") for row in rows] != list(range(first, last + 1)):
            raise ValueError(
                f"out: {path}: expected a row for each epoch from {first} to {last}, as the "
                f"checkpoint has it, got {len(rows)} rows; delete the folder and start again"
            )
        return rows

    def start(
        self, config: RunConfig, saving: Saving, metrics: Sequence[Row], layers: Sequence[Row]
    ) -> None:
        """Create the folder, or cut its rows back to these.

        Raises:
            ValueError: starts with ``out``; the folder cannot be made.
        """
        make_folder(self.path)
        if not self.exists:
            write_json(self.path / CONFIG, config.to_dict())
        write_json(self.path / SAVING, dataclasses.asdict(saving))
        for name, rows in ((METRICS, metrics), (LAYERS, layers)):
            write_text(self.path / name, "".join(_line(row) for row in rows))

    def append(self, metrics: Row, layers: Row) -> None:
        """Add the rows of one epoch."""
        for name, row in ((METRICS, metrics), (LAYERS, layers)):
            with (self.path / name).open("a") as file:
                file.write(_line(row))

    def sync_rows(self) -> None:
        """Wait until the rows are on the disk; a checkpoint must not outlive them."""
        for name in (METRICS, LAYERS):
            with (self.path / name).open("a") as file:
                os.fsync(file.fileno())

    def finish(self, summary: Summary) -> None:
        """Write ``summary.json``, which marks the run as finished."""
        write_json(self.path / SUMMARY, dataclasses.asdict(summary))


def check_new_folder(path: Path) -> None:
    """Refuse a folder that is not empty, or that cannot be made because of what is above it.

    Raises:
        ValueError: starts with ``out``.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(f"out: expected a folder, got the file {path}")
    if path.is_dir():
        foreign = [entry.name for entry in path.iterdir() if not entry.name.startswith(TEMPORARY)]
        if foreign:
            raise ValueError(
                f"out: expected a new or empty folder, got {path}, which holds {foreign[0]!r}"
            )
    parent = path if path.is_dir() else path.absolute().parent
    if not parent.is_dir():
        raise ValueError(f"out: expected an existing parent folder, got {path}; make {parent}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ValueError(f"out: expected a writable folder, got {path}; {parent} is not")


def make_folder(path: Path) -> None:
    """Make a folder whose parent exists, and see that files can be written to it.

    Raises:
        ValueError: starts with ``out``.
    """
    try:
        path.mkdir(exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise ValueError(f"out: expected a writable place, got {path}: {error.strerror}") from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write strict JSON so that the file is there in full or not at all."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is there in full or not at all."""
    temporary = path.with_name(TEMPORARY + path.name)
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_json(path: Path) -> Row:
    """Read an object of strict JSON.

    Raises:
        ValueError: the file holds something else.
    """
    return _parse(path.read_text())


def _parse(text: str) -> Row:
    value = json.loads(text, parse_constant=_no_constant)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"expected finite numbers, got {name}")


def _line(row: Row) -> str:
    return json.dumps(row, allow_nan=False) + "\n"
