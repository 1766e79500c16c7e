"""What a sparsifier shows a person, and masks put on another copy of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from dsr.sparsifier import Sparsifier


def table(sparse: Sparsifier) -> str:
    """Every parameter of the model: sparse with its counts, or dense with the reason."""
    counts = sparse._storage.mask.counts().tolist()
    rows = [("parameter", "shape", "active", "of", "sparsity")]
    layers = sparse._storage.layout.layers
    counts = [n * shape.unit_size for n, shape in zip(counts, layers, strict=True)]
    for place, active in zip(sparse._storage.places, counts, strict=True):
        size = place.parameter.numel()
        share = f"{1 - active / size:.4f}" if size else "-"
        rows.append((place.name, _shape(place.parameter), f"{active:,}", f"{size:,}", share))
    for one, reason in sparse.selection.dense:
        size = one.parameter.numel()
        rows.append((one.name, _shape(one.parameter), f"{size:,}", f"{size:,}", f"dense: {reason}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for row in rows:
        texts = zip(row, widths, ("<", "<", ">", ">"), strict=False)
        lines.append("  ".join([*(f"{text:{side}{width}}" for text, width, side in texts), row[4]]))
    units = sum(place.parameter.numel() for place in sparse._storage.places)
    head = (
        f"{sparse.method}, distribution={sparse.distribution!r}, seed={sparse.seed}\n"
        f"{sum(counts):,} of {units:,} weights active in {len(counts)} sparse layers"
    )
    return "\n".join([head, *lines])


def apply_masks(masks: dict[str, Tensor], other: nn.Module) -> None:
    """Zero what ``masks`` leaves out in the same-named parameters of ``other``."""
    if not isinstance(other, nn.Module):
        raise TypeError(f"other: expected a torch.nn.Module, got {type(other).__name__}")
    parameters = dict(other.named_parameters(remove_duplicate=False))
    found = {}
    for name, mask in masks.items():
        # torch's AveragedModel and DDP hold the model under "module".
        parameter = parameters.get(name, parameters.get(f"module.{name}"))
        if parameter is None:
            raise ValueError(f"other: expected a parameter {name!r}, which it does not have")
        if parameter.shape != mask.shape:
            raise ValueError(
                f"other: {name}: expected shape {list(mask.shape)}, got {list(parameter.shape)}"
            )
        found[name] = parameter
    with torch.no_grad():
        for name, parameter in found.items():
            parameter.masked_fill_(~masks[name].to(parameter.device), 0.0)


def _shape(parameter: Tensor) -> str:
    return "x".join(map(str, parameter.shape)) or "scalar"
