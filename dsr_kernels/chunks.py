"""How the units of a layout are dealt out to the blocks of a GPU kernel."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from dsr_kernels.layout import ALIGN_WORDS, WORD_BITS, SparseLayout
from dsr_kernels.workspace import refuse_capture


@dataclass(frozen=True)
class Chunks:
    """Chunks of consecutive units, each of one layer; every layer has at least one.

    Chunk c of layer l covers the units from ``(c - first[l]) * chunk_units`` on, ``chunk_units``
    of them or as many as the layer has left.

    Attributes:
        chunk_units: units a chunk, a multiple of 128: whole 16-byte groups of mask words.
        layer: int32 [number], the layer of each chunk, on the device.
        first: int64 [layers + 1], each layer's first chunk, on the device.
        host_first: the same on the host.
    """

    chunk_units: int
    layer: Tensor
    first: Tensor
    host_first: tuple[int, ...]

    @property
    def number(self) -> int:
        """Chunks of all layers."""
        return self.host_first[-1]


_plans: MutableMapping[Tensor, dict[int, Chunks]] = WeakTensorKeyDictionary()


def chunks(table: Tensor, chunk_units: int) -> Chunks:
    """The chunks of the layout that ``table`` (``SparseLayout.table``) describes.

    Made on the first call, which a CUDA graph must therefore not capture, and kept as long as the
    table lives.

    Args:
        table: int64 [layers, 5].
        chunk_units: units a chunk, a multiple of 128.
    """
    plans = _plans.get(table)
    if plans is None:
        plans = _plans[table] = {}
    if chunk_units not in plans:
        refuse_capture(table.device)
        plans[chunk_units] = _make(SparseLayout.from_table(table), chunk_units, table.device)
    return plans[chunk_units]


def _make(layout: SparseLayout, chunk_units: int, device: torch.device) -> Chunks:
    if chunk_units < 1 or chunk_units % (ALIGN_WORDS * WORD_BITS):
        raise ValueError(f"chunk_units: expected a multiple of 128, got {chunk_units}")
    numbers = torch.tensor([max(1, -(-layer.units // chunk_units)) for layer in layout.layers])
    numbers = numbers.to(torch.int64)
    first = torch.nn.functional.pad(numbers.cumsum(0), (1, 0))
    layer = torch.repeat_interleave(torch.arange(len(layout), dtype=torch.int32), numbers)
    return Chunks(chunk_units, layer.to(device), first.to(device), tuple(first.tolist()))
