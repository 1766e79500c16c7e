"""checkpoint_save, checkpoint_load: weights and momentum to a file system and back."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

import dsr
from benchmarks.case import Case, Provider, Target, require
from benchmarks.inputs import Problem
from benchmarks.shapes import Net

TARGETS: tuple[Target, ...] = ()


class _Folder:
    """A temporary folder (under ``TMPDIR``) that lives as long as the case."""

    def __init__(self) -> None:
        self.temporary = tempfile.TemporaryDirectory()
        self.path = Path(self.temporary.name)
        self.checkpoints = dsr.Checkpoints(self.path / "checkpoints", keep=1)
        self.file = self.path / "state.pt"
        self.steps = count()

    def save(self, parts: dict[str, torch.Tensor]) -> None:
        self.checkpoints.save(next(self.steps), parts=parts)

    def torch_save(self, parts: dict[str, torch.Tensor], sync: bool) -> None:
        with self.file.open("wb") as file:
            torch.save(parts, file)
            if sync:
                file.flush()
                os.fsync(file.fileno())


def save_case(net: Net, sparsity: float, device: torch.device) -> Case:
    """``dsr.Checkpoints`` hashes, syncs, reads back and verifies; ``torch.save`` does not."""
    p = Problem(net, sparsity, device)
    folder, parts = _Folder(), {"weights": p.weights, "momentum": p.momentum}

    def check(result: object) -> None:
        loaded: dict[str, torch.Tensor] = {}
        folder.checkpoints.load_latest(parts=loaded)
        _check_equal(loaded, parts)

    def check_file(result: object) -> None:
        _check_equal(torch.load(folder.file, map_location="cpu", weights_only=True), parts)

    providers = [
        Provider("dsr.Checkpoints.save", "ours", lambda: folder.save(parts), check=check),
        Provider(
            "torch.save, fsync",
            "eager",
            lambda: folder.torch_save(parts, sync=True),
            check=check_file,
        ),
        Provider(
            "torch.save", "eager", lambda: folder.torch_save(parts, sync=False), check=check_file
        ),
    ]
    return replace(p.case("checkpoint_save", 4 * net.bytes, providers), on_device=False)


def load_case(net: Net, sparsity: float, device: torch.device) -> Case:
    """The same back from the file system's cache; ``dsr.Checkpoints`` verifies every byte."""
    p = Problem(net, sparsity, device)
    folder, parts = _Folder(), {"weights": p.weights, "momentum": p.momentum}
    folder.save(parts)
    folder.torch_save(parts, sync=True)

    def load() -> object:
        loaded: dict[str, torch.Tensor] = {}
        folder.checkpoints.load_latest(parts=loaded)
        return loaded

    def torch_load() -> object:
        return torch.load(folder.file, map_location="cpu", weights_only=True)

    def check(result: object) -> None:
        _check_equal(result, parts)

    providers = [
        Provider("dsr.Checkpoints.load_latest", "ours", load, check=check),
        Provider("torch.load", "eager", torch_load, check=check),
    ]
    return replace(p.case("checkpoint_load", 4 * net.bytes, providers), on_device=False)


def _check_equal(loaded: Any, parts: dict[str, torch.Tensor]) -> None:
    require(loaded.keys() == parts.keys(), "other parts came back")
    for name, tensor in parts.items():
        require(torch.equal(loaded[name], tensor.cpu()), f"{name} came back changed")
