"""What a run takes over from an earlier one: its final masks, its weights at the start or end."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dsr.checkpoint_state import unpack_bytes
from dsr.checkpoints import Checkpoints
from dsr.experiments.config import RunConfig
from dsr.experiments.folder import RunFolder
from dsr.experiments.network import fresh_seed
from dsr_kernels import BitMask, LayerShape, Purpose, SparseLayout, grow_random_


def source_config(config: RunConfig) -> RunConfig | None:
    """The settings of the run that ``config`` starts from, if it starts from one.

    Raises:
        ValueError: starts with ``masks_from``, ``dense_from`` or ``sparsity``; there is no
            finished run, or it is not one that this run can start from.
    """
    name = "masks_from" if config.masks_from is not None else "dense_from"
    path = getattr(config, name)
    if path is None:
        return None
    folder = RunFolder(path)
    if not (folder.exists and folder.finished):
        raise ValueError(f"{name}: expected the folder of a finished run, got {path}")
    try:
        source = folder.config()
    except ValueError as error:
        raise ValueError(f"{name}: {str(error).removeprefix('out: ')}") from error
    for setting in ("data", "model", "init"):
        theirs, ours = getattr(source, setting), getattr(config, setting)
        if theirs != ours:
            raise ValueError(f"{name}: expected a run with {setting} {ours!r}, got {theirs!r}")
    if name == "dense_from" and source.method != "dense":
        raise ValueError(f"{name}: expected a run of method 'dense', got {source.method!r}")
    if name == "masks_from":
        _check_masks_source(config, source)
    return source


def weights_seed(config: RunConfig, source: RunConfig | None) -> int:
    """The seed that a run draws its initial weights from."""
    if config.weights == "original" and source is not None:
        return source.seed
    return config.seed if config.weights is None else fresh_seed(config.seed)


def given_masks(config: RunConfig, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor] | None:
    """The masks that a run starts from, by parameter name; None where it draws its own.

    Args:
        config: of the run.
        shapes: of its sparse layers, by name, in order.

    Returns:
        bool tensors: those that the source ended with, or random ones of the same layer counts.

    Raises:
        ValueError: starts with ``masks_from``; the checkpoint there cannot be used.
    """
    if config.masks_from is None:
        return None
    packed = _last_state("masks_from", config.masks_from)["sparse"].get("masks", {})
    try:
        masks = {
            name: unpack_bytes(packed.get(name), shape, name) for name, shape in shapes.items()
        }
    except ValueError as error:
        raise ValueError(f"masks_from: {config.masks_from}: {error}") from error
    return masks if config.structure == "final" else _shuffled(masks, config.seed)


def dense_weights(config: RunConfig) -> dict[str, Tensor] | None:
    """The final weights and statistics of the run in ``dense_from``, as a ``state_dict``.

    Raises:
        ValueError: starts with ``dense_from``; the checkpoint there cannot be used.
    """
    if config.dense_from is None:
        return None
    return _last_state("dense_from", config.dense_from)["model"]


def _check_masks_source(config: RunConfig, source: RunConfig) -> None:
    if source.masks_from is not None or source.dense_from is not None:
        raise ValueError(
            "masks_from: expected a run that starts from no other one, got one that starts from "
            f"{source.masks_from or source.dense_from}"
        )
    if source.sparsity != config.sparsity:
        raise ValueError(
            f"sparsity: expected {source.sparsity}, as the run in {config.masks_from} has it, got "
            f"{config.sparsity}"
        )


def _last_state(setting: str, path: str) -> dict[str, Any]:
    parts: dict[str, Any] = {"model": {}, "optimizer": {}, "sparse": {}}
    folder = RunFolder(path).checkpoints
    if not folder.is_dir():
        raise ValueError(f"{setting}: expected checkpoints in {folder}, got none")
    try:
        step = Checkpoints(folder).load_latest(**parts)
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        raise ValueError(f"{setting}: {error}") from error
    if step is None:
        raise ValueError(f"{setting}: expected a checkpoint in {folder}, got none")
    return parts


def _shuffled(masks: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Random masks with as many active weights in each layer."""
    layout = SparseLayout(tuple(LayerShape(mask.numel()) for mask in masks.values()))
    drawn = BitMask.zeros(layout)
    counts = torch.tensor([int(mask.sum()) for mask in masks.values()])
    number = torch.zeros(1, dtype=torch.int64)
    purpose = Purpose.INITIAL_MASK
    grow_random_(drawn, drawn.clone(), counts, seed=seed, reallocation=number, purpose=purpose)
    bits = zip(masks.items(), drawn.to_bools(), strict=True)
    return {name: bools.view(mask.shape) for (name, mask), bools in bits}
