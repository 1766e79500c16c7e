"""grow_largest_ in Triton: the search for the k-th free unit, then one launch that grows.

A just pruned place ranks behind every free one, so that one search finds both kinds. Moves: every
inactive score in six times, two bits a unit in each time, changed mask words out. Six launches;
counts are integers and each word is one program's, so the order of programs changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from dsr_kernels.chunks import chunks
from dsr_kernels.triton_kernels.bits import popcount
from dsr_kernels.triton_kernels.pointers import dtype_code, has_groups, layer_table
from dsr_kernels.triton_kernels.ranks import FREE_FIRST, LEFT, STATE, TIE, group_of, ranks_of_tile
from dsr_kernels.triton_kernels.search import COUNTERS, Order, search
from dsr_kernels.triton_kernels.tuning import tuning
from dsr_kernels.triton_kernels.units import GROUP_UNITS, WORD, pack, read_chunk, tile_numbers
from dsr_kernels.workspace import counters


@triton.jit
def _grow_tile(
    chunk,
    words_ptr,
    previous_ptr,
    begin,
    rank,
    tie,
    GROUPED: tl.constexpr,
    WORDS: tl.constexpr,
    DTYPE: tl.constexpr,
):
    """Grows what the cut selects; how many that are."""
    ranks, candidates, _ = ranks_of_tile(
        chunk, words_ptr, previous_ptr, begin, FREE_FIRST, True, GROUPED, WORDS, DTYPE
    )
    near = tl.minimum(tl.maximum(tie - begin, 0), WORDS * WORD).to(tl.int32)
    selected = (ranks < rank) | ((ranks == rank) & (tile_numbers(WORDS) < near))
    grown = pack(candidates & selected)
    words_at = words_ptr + chunk.word_offset + begin // WORD + tl.arange(0, WORDS)
    now = tl.load(words_at, mask=grown != 0, other=0)
    tl.debug_barrier()  # all copies of a word are loaded before one is stored
    tl.store(words_at, now | grown, mask=grown != 0)
    return tl.sum(popcount(grown.to(tl.uint32, bitcast=True)), axis=0)


@triton.jit
def grow_kernel(
    entries_ptr,  # int64 [layers, 3]
    words_ptr,  # int32 [words]
    previous_ptr,  # int32 [words]
    layout_ptr,  # int64 [layers, 5]
    chunk_layer_ptr,  # int32 [chunks]
    chunk_first_ptr,  # int64 [layers + 1]
    state_ptr,  # int64 [groups, STATE]
    grown_ptr,  # int64 [layers], zeros before
    PER_LAYER: tl.constexpr,
    GROUPS: tl.constexpr,
    DTYPE: tl.constexpr,
    CHUNK: tl.constexpr,
):
    number = tl.program_id(0).to(tl.int64)
    chunk = read_chunk(number, entries_ptr, layout_ptr, chunk_layer_ptr, chunk_first_ptr, CHUNK)
    state_ptr += group_of(chunk, PER_LAYER) * STATE
    rank = tl.load(state_ptr).to(tl.uint32)
    tie = tl.load(state_ptr + TIE) - (0 if PER_LAYER else chunk.unit_offset)
    if tl.load(state_ptr + LEFT) > 0:
        grown = tl.full([], 0, tl.int32)
        if chunk.unit_size > 1 if GROUPS else False:
            for begin in range(chunk.begin, chunk.end, GROUP_UNITS):
                grown += _grow_tile(
                    chunk, words_ptr, previous_ptr, begin, rank, tie,
                    True, GROUP_UNITS // WORD, DTYPE,
                )  # fmt: skip
        else:
            grown += _grow_tile(
                chunk, words_ptr, previous_ptr, chunk.begin, rank, tie,
                False, CHUNK // WORD, DTYPE,
            )  # fmt: skip
        tl.atomic_add(grown_ptr + chunk.layer, grown.to(tl.int64), sem="relaxed")


def grow_largest_(
    words: Tensor,
    previous: Tensor,
    scores: Sequence[Tensor],
    table: Tensor,
    counts: Tensor,
    per_layer: bool,
) -> Tensor:
    grown = table.new_zeros(len(table))
    if not scores:
        return grown
    order = Order(FREE_FIRST, largest=True, per_layer=per_layer)
    zeros = counters(words, "triton_search", len(counts) * COUNTERS)
    state = search("grow_largest_", scores, words, previous, table, counts, order, zeros)
    config = tuning("grow_largest_")
    plan = chunks(table, config.block)
    with torch.cuda.device_of(words):
        grow_kernel[(plan.number,)](
            layer_table(scores, table),
            words,
            previous,
            table,
            plan.layer,
            plan.first,
            state,
            grown,
            PER_LAYER=per_layer,
            GROUPS=has_groups(table),
            DTYPE=dtype_code(scores),
            CHUNK=config.block,
            num_warps=config.warps,
            enable_fp_fusion=False,
        )
    return grown
