"""What a CUDA launcher takes behind an op's arguments and outputs: chunks, counters, scratch.

The kernels neither allocate nor read sizes back, so all they need besides the tensors of the call
is made here: tables once for a mask, scratch in every call by PyTorch's allocator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from dsr_kernels.chunks import Chunks, chunks
from dsr_kernels.workspace import counters

CHUNK_UNITS = 4096  # not yet measured on a GPU
SEARCH_CHUNK_UNITS = 8 * CHUNK_UNITS  # of passes that only count

PARTIAL_VALUES = 2  # int64 values a chunk that the pruning kernels add up
# csrc/cuda/order_job.h: counts of a group, int64 values of a group and of a layer.
SEARCH_BINS = 4096
SEARCH_VALUES = 3
PLACE_VALUES = 2
# csrc/cuda/order_segments.h: warps of a block, units that a block and a warp of it read at once,
# and those of a warp for each entry that its segment has room for.
SEARCH_WARPS = 8
BLOCK_UNITS = 1024
WARP_UNITS = BLOCK_UNITS // SEARCH_WARPS
UNITS_PER_ENTRY = 8
# csrc/cuda/growth.h: kinds of places, units of a stretch, int64 values of a bijection, counters.
COUNT_CHUNKS = 8  # a pass over mask words alone takes larger chunks
GROWTH_KINDS = 2
STRETCH_UNITS = 1024
BIJECTION_VALUES = 9
GROWTH_COUNTERS = 4


def extra_arguments(stem: str, args: Sequence[Any]) -> list[Any]:
    """The further arguments of an op's CUDA launcher, tensors and lists of ints."""
    make = _EXTRA.get(stem)
    return [] if make is None else make(*args)


def _chunk_plan(plan: Chunks) -> tuple[Tensor, Tensor, list[int], int]:
    """ChunkPlan in csrc/cuda/chunks.h."""
    return plan.layer, plan.first, list(plan.host_first), plan.chunk_units


def _pruning(words: Tensor, table: Tensor) -> list[Any]:
    plan = chunks(table, CHUNK_UNITS)
    return [
        _chunk_plan(plan),
        counters(words, "prune", len(table)),
        table.new_empty(plan.number * PARTIAL_VALUES),
    ]


def _prune_threshold(weights: Any, words: Tensor, table: Tensor, *_: Any) -> list[Any]:
    return _pruning(words, table)


def _search_tables(table: Tensor, k: Tensor, kept: Callable[[int], Tensor]) -> tuple[Any, ...]:
    """SearchTables in csrc/cuda/chunk_plan.h; ``kept`` gives zeroed counters.

    The counters take 16 KB a group and the scratch 16 KB a chunk, half a byte a unit: while the
    search runs, an eighth of the memory of float32 weights.
    """
    groups = len(k)
    plan = chunks(table, SEARCH_CHUNK_UNITS)
    room = -(-plan.chunk_units // BLOCK_UNITS) * (WARP_UNITS // UNITS_PER_ENTRY)
    return (
        kept(groups * (SEARCH_BINS + 1)),
        table.new_empty(groups * SEARCH_VALUES + len(table) * PLACE_VALUES),
        table.new_empty(plan.number * (SEARCH_WARPS * (room + 1) + 1), dtype=torch.int32),
        _chunk_plan(plan),
    )


def _kth_magnitude(tensors: Any, words: Tensor, table: Tensor, k: Tensor, *_: Any) -> list[Any]:
    # Two searches may use one mask at the same time, so nothing is kept with it.
    tables = _search_tables(table, k, words.new_zeros)
    return [tables, table.new_zeros(len(table))]


def _prune_smallest(weights: Any, words: Tensor, table: Tensor, k: Tensor, *_: Any) -> list[Any]:
    kept = partial(counters, words, "search")
    return [*_pruning(words, table), _search_tables(table, k, kept)]


def _grow_largest(
    words: Tensor, previous: Tensor, scores: Any, table: Tensor, counts: Tensor, *_: Any
) -> list[Any]:
    kept = partial(counters, words, "search")
    plan = chunks(table, CHUNK_UNITS)
    return [
        _chunk_plan(plan),
        counters(words, "grow_largest", len(table)),
        table.new_empty(plan.number),
        _search_tables(table, counts, kept),
    ]


def _grow_random(words: Tensor, previous: Tensor, table: Tensor, *_: Any) -> list[Any]:
    """csrc/cuda/growth.h says what the scratch holds."""
    units = COUNT_CHUNKS * CHUNK_UNITS
    plan = chunks(table, units)
    stretches = -(-units // STRETCH_UNITS)
    draws = GROWTH_KINDS * len(table)
    return [
        _chunk_plan(plan),
        counters(words, "grow_random", GROWTH_COUNTERS),
        words.new_empty(GROWTH_KINDS * len(words) + plan.number * stretches),
        table.new_empty(plan.number + 1 + draws + 1 + draws * BIJECTION_VALUES),
    ]


def _allocate_growth(threshold: Tensor, pruned: Tensor, *_: Any) -> list[Any]:
    return [pruned.new_empty(2 * len(pruned))]


def _layer_mean(tensors: Any, words: Tensor, table: Tensor) -> list[Any]:
    plan = chunks(table, CHUNK_UNITS)
    return [
        _chunk_plan(plan),
        # The mask does not change: two calls may run at the same time, so each has its own.
        words.new_zeros(1 + len(table)),
        table.new_empty(plan.number),
    ]


def _prune_sign_flips(
    weights: Any, words: Tensor, positive: Tensor, negative: Tensor, table: Tensor, *_: Any
) -> list[Any]:
    plan = chunks(table, CHUNK_UNITS)
    return [
        _chunk_plan(plan),
        counters(words, "prune_sign_flips", len(table)),
        table.new_empty(plan.number),
    ]


_EXTRA: dict[str, Callable[..., list[Any]]] = {
    "prune_threshold": _prune_threshold,
    "kth_magnitude": _kth_magnitude,
    "prune_smallest": _prune_smallest,
    "grow_largest": _grow_largest,
    "grow_random": _grow_random,
    "allocate_growth": _allocate_growth,
    "layer_mean": _layer_mean,
    "prune_sign_flips": _prune_sign_flips,
}
