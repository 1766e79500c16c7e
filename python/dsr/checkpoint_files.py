"""The three files of one checkpoint: writing, verifying and reading them.

``tensors.safetensors`` holds the tensors, ``state.json`` everything else, ``manifest.json`` the
size and SHA-256 of the other two. Nothing here is ever unpickled, and no size is trusted before it
was compared with the file.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Any

from torch import Tensor

from dsr.serialize import decode, dumps, loads

FORMAT = "dsr-checkpoint"
VERSION = 1
MANIFEST, STATE, TENSORS = "manifest.json", "state.json", "tensors.safetensors"
MAX_MANIFEST_BYTES = 2**20
MAX_STATE_BYTES = 2**26
CHUNK_BYTES = 2**20

_SHA256 = re.compile(r"[0-9a-f]{64}")


class CheckpointError(RuntimeError):
    """A checkpoint is incomplete, damaged or of an unknown format."""


def write_checkpoint(folder: Path, step: int, state: bytes, tensors: dict[str, Tensor]) -> None:
    """Make ``folder`` and write the files into it; on return every byte is on disk.

    Raises:
        OSError: a file could not be written.
    """
    safetensors_torch, safetensors_error = _safetensors()
    folder.mkdir()
    _write(folder / STATE, state)
    try:
        safetensors_torch.save_file(tensors, folder / TENSORS)
    except safetensors_error as error:
        raise OSError(f"{folder / TENSORS}: {error}") from error
    # safetensors makes its file private to the user, whatever the umask says.
    (folder / TENSORS).chmod(stat.S_IMODE((folder / STATE).stat().st_mode))
    sync(folder / TENSORS)
    files = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": _sha256(folder / name)}
        for name in (STATE, TENSORS)
    }
    manifest = {"format": FORMAT, "version": VERSION, "step": step, "files": files}
    _write(folder / MANIFEST, dumps(manifest))
    sync(folder)


def verify_checkpoint(folder: Path, step: int) -> None:
    """Compare every file with the manifest.

    Raises:
        CheckpointError: a file is missing, damaged or not of this format, naming it.
    """
    path = folder / MANIFEST
    try:
        _check_regular(path, None)
        manifest = loads(_read_bounded(path, MAX_MANIFEST_BYTES))
        files = _checked_files(manifest, step)
        for name, (size, digest) in files.items():
            path = folder / name
            _check_regular(path, size)
            if _sha256(path) != digest:
                raise ValueError("its SHA-256 is not the one in the manifest")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def read_checkpoint(folder: Path, step: int) -> dict[str, Any]:
    """Verify a checkpoint, then read all of it into memory of its own.

    Raises:
        CheckpointError: as :func:`verify_checkpoint`, or the content makes no sense.
    """
    safetensors_torch, safetensors_error = _safetensors()
    verify_checkpoint(folder, step)
    path = folder / STATE
    try:
        tree = loads(_read_bounded(path, MAX_STATE_BYTES))
        path = folder / TENSORS
        with safetensors_torch.safe_open(path, framework="pt", device="cpu") as file:
            names = set(file.keys())

            def tensor(name: str) -> Tensor:
                if name not in names:
                    raise KeyError(name)
                # A copy: the library's tensor is a map of the file, which may be deleted.
                copy: Tensor = file.get_tensor(name).clone()
                return copy

            path = folder / STATE
            state = decode(tree, tensor)
    except (OSError, ValueError, safetensors_error) as error:
        raise CheckpointError(f"{path}: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(part, dict) for part in state.values()):
        raise CheckpointError(f"{path}: expected a dict of parts, each a dict")
    return state


def require_safetensors() -> None:
    """Raise an ImportError that says how to install safetensors, where it is missing."""
    _safetensors()


def sync(path: Path) -> None:
    """fsync a file or a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _safetensors() -> tuple[Any, type[Exception]]:
    try:
        import safetensors
        import safetensors.torch
    except ImportError as error:
        raise ImportError(
            "checkpoints need the safetensors package: pip install dsr-kernels[train]"
        ) from error
    return safetensors.torch, safetensors.SafetensorError


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _check_regular(path: Path, size: int | None) -> None:
    info = path.lstat()
    if not stat.S_ISREG(info.st_mode):
        raise ValueError("expected a regular file")
    if size is not None and info.st_size != size:
        raise ValueError(f"expected {size} bytes, got {info.st_size}")


def _read_bounded(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"longer than the {limit} bytes supported")
    return data


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _checked_files(manifest: Any, step: int) -> dict[str, tuple[int, str]]:
    """Size and digest of each file; the names are ours, so none can lead out of the folder."""
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f'expected "format": "{FORMAT}"')
    if type(manifest.get("version")) is not int or manifest["version"] != VERSION:
        raise ValueError(f"expected version {VERSION}, got {_brief(manifest.get('version'))}")
    if type(manifest.get("step")) is not int or manifest["step"] != step:
        raise ValueError(f"expected step {step}, got {_brief(manifest.get('step'))}")
    files = manifest.get("files")
    if not isinstance(files, dict) or set(files) != {STATE, TENSORS}:
        raise ValueError(f"expected the files {STATE} and {TENSORS}, got {_brief(files)}")
    checked = {}
    for name, entry in files.items():
        size, digest = (
            (entry.get("bytes"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
        )
        if type(size) is not int or size < 0:
            raise ValueError(f"{name}: expected its size in bytes, got {_brief(size)}")
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise ValueError(f"{name}: expected a SHA-256, got {_brief(digest)}")
        checked[name] = (size, digest)
    return checked


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."
