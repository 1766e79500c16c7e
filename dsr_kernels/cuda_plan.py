"""What a CUDA launcher takes behind an op's arguments and outputs: chunks, counters, scratch.

The kernels neither allocate nor read sizes back, so all they need besides the tensors of the call
is made here: tables once for a mask, scratch in every call by PyTorch's allocator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from dsr_kernels.chunks import chunks
from dsr_kernels.workspace import counters

CHUNK_UNITS = 4096  # not yet measured on a GPU

PARTIAL_VALUES = 4  # int64 values a chunk that the pruning kernels add up


def extra_arguments(stem: str, args: Sequence[Any]) -> list[Any]:
    """The further arguments of an op's CUDA launcher, tensors and lists of ints."""
    make = _EXTRA.get(stem)
    return [] if make is None else make(*args)


def _chunk_arguments(table: Tensor, chunk_units: int) -> list[Any]:
    """csrc/cuda/chunks.h: the layer of each chunk, the first chunk of each layer, units a chunk."""
    plan = chunks(table, chunk_units)
    return [plan.layer, plan.first, list(plan.host_first), plan.chunk_units]


def _prune_threshold(weights: Any, words: Tensor, table: Tensor, *_: Any) -> list[Any]:
    plan = chunks(table, CHUNK_UNITS)
    return [
        *_chunk_arguments(table, CHUNK_UNITS),
        counters(words, "prune", len(table)),
        table.new_empty(plan.number * PARTIAL_VALUES),
    ]


_EXTRA: dict[str, Callable[..., list[Any]]] = {}
