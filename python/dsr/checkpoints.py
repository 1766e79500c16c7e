"""Checkpoints that survive a kill at any instant: safetensors and strict JSON, never a pickle.

A checkpoint is a directory such as ``step-000000001234``. It is written under a temporary name and
renamed only when every byte is on disk, so a directory with a step's name is complete; there is no
pointer to the latest one that could be stale.
"""

from __future__ import annotations

import logging
import operator
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor

from dsr.checkpoint_files import (
    MAX_STATE_BYTES,
    CheckpointError,
    read_checkpoint,
    require_safetensors,
    sync,
    verify_checkpoint,
    write_checkpoint,
)
from dsr.checkpoint_parts import Part, check_names, check_part, load_parts, state_of
from dsr.serialize import dumps, encode

__all__ = ["CheckpointError", "Checkpoints"]

logger = logging.getLogger(__name__)

MAX_STEP = 10**12 - 1

_STEP_NAME = re.compile(r"step-([0-9]{12})")
_TEMPORARY_NAME = re.compile(r"\.tmp-[0-9]+-([0-9]{1,9})-[0-9a-f]+")
_in_use: set[str] = set()  # temporary names under which this process is writing


class Checkpoints:
    """The last few checkpoints of one run, in one directory written by one process at a time.

    Args:
        directory: where they lie; made if missing.
        keep: how many to keep, at least 1.

    Raises:
        ValueError: ``keep`` is below 1, or ``directory`` is a file.

    Example:
        >>> checkpoints = Checkpoints("runs/a", keep=3)
        >>> progress = {"epoch": 0}
        >>> parts = dict(model=model, optimizer=optimizer, sparse=sparse, progress=progress)
        >>> step = checkpoints.load_latest(**parts) or 0
        >>> checkpoints.save(step + 1, **parts)
    """

    def __init__(self, directory: str | os.PathLike[str], keep: int = 3) -> None:
        if not isinstance(keep, int) or isinstance(keep, bool):
            raise TypeError(f"keep: expected an int, got {keep!r}")
        if keep < 1:
            raise ValueError(f"keep: expected at least 1, got {keep}")
        self.directory = Path(directory).absolute()
        self.keep = keep
        _make_directory(self.directory)

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending; whether each verifies is not looked at."""
        matches = (_STEP_NAME.fullmatch(entry.name) for entry in self.directory.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def save(self, step: int, **parts: Part) -> None:
        """Write one checkpoint; once this returns, no kill or crash can lose it.

        Older checkpoints beyond ``keep`` are deleted only after the new one verifies. On any error
        the attempt is removed and the older ones are untouched. A checkpoint of the same step that
        does not verify is replaced, with a warning in the log.

        Args:
            step: at least 0, below 10^12; training goes on from the highest one.
            parts: objects with ``state_dict()``, or nested dicts of tensors and plain values.

        Raises:
            ValueError: the step is saved already or out of range; no part is given.
            TypeError: a part holds something that is not plain data, naming its path.
            OSError: the files could not be written.
            CheckpointError: what was written does not read back.
            ImportError: safetensors is not installed.
        """
        require_safetensors()
        step = _checked_step(step)
        if not parts:
            raise ValueError("parts: expected at least one, such as model=model")
        tree, tensors = encode({name: state_of(part, name) for name, part in parts.items()})
        state = dumps(tree)
        if len(state) > MAX_STATE_BYTES:
            raise ValueError(
                f"parts: {len(state)} bytes of plain values, more than the {MAX_STATE_BYTES} "
                "supported; save long lists as tensors"
            )
        self._remove_stale()
        self._make_room(step)
        self._write(step, state, tensors)
        older = [other for other in self.steps() if other < step]
        for other in older[: max(0, len(older) + 1 - self.keep)]:
            self._delete(self._path(other))

    def load_latest(self, **parts: Part) -> int | None:
        """Load the newest checkpoint that verifies into ``parts``.

        Everything is read and verified before the first part changes. Objects then get their
        state by ``load_state_dict``, in the order given; dicts are cleared and filled in place,
        last. Tensors arrive on the CPU. A checkpoint that does not verify is named in a warning
        and the next older one is used.

        Args:
            parts: the same names as were saved.

        Returns:
            The step of the checkpoint, or None if there is none at all.

        Raises:
            ValueError: a part was not saved, or a saved one is not asked for.
            TypeError: a part is neither a dict nor has ``load_state_dict``.
            CheckpointError: there are checkpoints, but none verifies.
            ImportError: safetensors is not installed.
        """
        require_safetensors()
        for name, part in parts.items():
            check_part(part, name)
        failures: dict[int, str] = {}
        # Listed again each time: another process may be saving and deleting meanwhile.
        while remaining := [step for step in self.steps() if step not in failures]:
            step = remaining[-1]
            try:
                state = read_checkpoint(self._path(step), step)
            except CheckpointError as error:
                if step in self.steps():
                    failures[step] = str(error)
                    logger.warning("skipping the checkpoint of step %d: %s", step, error)
                continue
            check_names(parts, state, step)
            load_parts(parts, state)
            return step
        if failures:
            reasons = "; ".join(failures.values())
            raise CheckpointError(f"{self.directory}: no checkpoint verifies: {reasons}")
        return None

    def _path(self, step: int) -> Path:
        return self.directory / f"step-{step:012d}"

    def _temporary(self, step: int) -> Path:
        return self.directory / f".tmp-{step}-{os.getpid()}-{secrets.token_hex(4)}"

    def _write(self, step: int, state: bytes, tensors: dict[str, Tensor]) -> None:
        final, temporary = self._path(step), self._temporary(step)
        renamed = False
        _in_use.add(temporary.name)
        try:
            write_checkpoint(temporary, step, state, tensors)
            temporary.rename(final)
            renamed = True
            sync(self.directory)
            verify_checkpoint(final, step)
        except BaseException:
            if renamed:
                self._delete(final)
            elif temporary.exists():
                _remove_tree(temporary)
            raise
        finally:
            _in_use.discard(temporary.name)

    def _make_room(self, step: int) -> None:
        """Refuse a step that exists, unless it is damaged: a resumed run must get past it."""
        if step not in self.steps():
            return
        try:
            verify_checkpoint(self._path(step), step)
        except CheckpointError as error:
            logger.warning("replacing the checkpoint of step %d: %s", step, error)
            self._delete(self._path(step))
        else:
            raise ValueError(
                f"step: {step} is saved already in {self.directory}; save a step once, and from "
                "one process only"
            )

    def _delete(self, path: Path) -> None:
        """Take the step's name away first: a kill while deleting must not leave half of one."""
        temporary = self._temporary(0)
        try:
            path.rename(temporary)
        except OSError as error:
            logger.warning("cannot delete %s: %s", path, error)
        else:
            _remove_tree(temporary)

    def _remove_stale(self) -> None:
        """Free the space that killed writers left behind before the new files need it."""
        for entry in list(self.directory.iterdir()):
            match = _TEMPORARY_NAME.fullmatch(entry.name)
            if match and entry.name not in _in_use and not _is_other_process(int(match[1])):
                _remove_tree(entry)


def _make_directory(directory: Path) -> None:
    """Make ``directory`` so that it outlives a crash: each new name is synced in its parent."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        file = next((p for p in (directory, *directory.parents) if p.is_file()), directory)
        raise ValueError(
            f"directory: expected a directory, got {directory}: {file} is a file; give a folder "
            "that is new or holds checkpoints"
        ) from error
    for path in missing:
        sync(path.parent)


def _remove_tree(path: Path) -> None:
    try:
        shutil.rmtree(path)
    except OSError as error:
        logger.warning("cannot delete %s: %s", path, error)


def _is_other_process(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _checked_step(step: Any) -> int:
    try:
        number = operator.index(step)
    except TypeError:
        number = None
    if number is None or isinstance(step, bool):
        raise TypeError(f"step: expected an int, got {step!r}")
    if not 0 <= number <= MAX_STEP:
        raise ValueError(f"step: expected 0 to {MAX_STEP}, got {number}")
    return number
