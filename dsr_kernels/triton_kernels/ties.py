"""The end of the search for the k-th unit, see search.py: which unit it is among equal ranks.

Each program counts the candidates of the rank in its chunk; the group's last one finds the chunk
of the k-th and looks at that chunk once more.
"""

from __future__ import annotations

import triton
import triton.language as tl

from dsr_kernels.triton_kernels.bits import nth_set_bit, popcount
from dsr_kernels.triton_kernels.finish import is_last
from dsr_kernels.triton_kernels.ranks import (
    LEFT,
    STATE,
    TIE,
    chunks_of_group,
    group_of,
    ranks_of_tile,
)
from dsr_kernels.triton_kernels.units import (
    GROUP_UNITS,
    INF_KEY,
    NAN_KEY,
    WORD,
    pack,
    read_chunk,
)

CHUNKS = tl.constexpr(256)  # chunks the last program looks at together


@triton.jit
def _find_in_tiles(
    chunk,
    words_ptr,
    previous_ptr,
    rank,
    wanted,
    AMONG: tl.constexpr,
    LARGEST: tl.constexpr,
    GROUPED: tl.constexpr,
    WORDS: tl.constexpr,
    DTYPE: tl.constexpr,
):
    """How many of the chunk's candidates have the rank, and the unit of number ``wanted``, from 1.

    The unit counts from the chunk's begin; it is 0 if there are fewer.
    """
    found = tl.full([], 0, tl.int32)
    unit = found
    for offset in range(0, (chunk.end - chunk.begin).to(tl.int32), WORDS * WORD):
        ranks, candidates, _ = ranks_of_tile(
            chunk, words_ptr, previous_ptr, chunk.begin + offset,
            AMONG, LARGEST, GROUPED, WORDS, DTYPE,
        )  # fmt: skip
        equal = pack(candidates & (ranks == rank)).to(tl.uint32, bitcast=True)
        counts = popcount(equal)
        number = tl.sum(counts, axis=0)
        left = wanted - found
        if (left > 0) & (left <= number):
            before = tl.cumsum(counts, axis=0) < left
            word = tl.sum(before.to(tl.int32), axis=0)
            nth = left - 1 - tl.sum(tl.where(before, counts, 0), axis=0)
            at = tl.where(tl.arange(0, WORDS) == word, nth_set_bit(equal, nth), 0)
            unit = word * WORD + tl.sum(at, axis=0) + offset
        found += number
    return found, unit


@triton.jit
def _find_in_chunk(
    chunk,
    words_ptr,
    previous_ptr,
    rank,
    wanted,
    AMONG: tl.constexpr,
    LARGEST: tl.constexpr,
    GROUPS: tl.constexpr,
    DTYPE: tl.constexpr,
    TILE: tl.constexpr,
):
    if chunk.unit_size > 1 if GROUPS else False:
        found, unit = _find_in_tiles(
            chunk, words_ptr, previous_ptr, rank, wanted,
            AMONG, LARGEST, True, GROUP_UNITS // WORD, DTYPE,
        )  # fmt: skip
    else:
        found, unit = _find_in_tiles(
            chunk, words_ptr, previous_ptr, rank, wanted,
            AMONG, LARGEST, False, TILE // WORD, DTYPE,
        )  # fmt: skip
    return found, unit


@triton.jit
def _find_chunk(equals_ptr, first, number, left):
    """The group's chunk that holds candidate ``left``, from 1, and its number in that chunk."""
    at = first
    before = left * 0
    upto = left * 0
    for start in range(0, number, CHUNKS):
        chunk = start + tl.arange(0, CHUNKS)
        counts = tl.load(
            equals_ptr + first + chunk, mask=chunk < number, other=0, cache_modifier=".cg"
        ).to(tl.int64)
        short = (upto + tl.cumsum(counts, axis=0) < left) & (chunk < number)
        at += tl.sum(short.to(tl.int64), axis=0)
        before += tl.sum(tl.where(short, counts, 0), axis=0)
        upto += tl.sum(counts, axis=0)
    return at, (left - before).to(tl.int32)


@triton.jit
def _write_cut(select_ptr, state_ptr, LARGEST: tl.constexpr):
    """The cut as kth_magnitude gives it: a key, and a unit."""
    tl.debug_barrier()  # the tie was stored by one thread
    rank = tl.load(state_ptr)
    left = tl.load(state_ptr + LEFT)
    if LARGEST:
        key = tl.where(rank == NAN_KEY, -1, -rank + INF_KEY)
        key = tl.where(left == 0, NAN_KEY, key)
    else:
        key = tl.where(left == 0, 0, rank)
    tl.store(select_ptr, key)
    tl.store(select_ptr + 1, tl.load(state_ptr + TIE))


@triton.jit
def tie_kernel(
    entries_ptr,  # int64 [layers, 3]
    words_ptr,  # int32 [words]
    previous_ptr,  # int32 [words]
    layout_ptr,  # int64 [layers, 5]
    chunk_layer_ptr,  # int32 [chunks]
    chunk_first_ptr,  # int64 [layers + 1]
    state_ptr,  # int64 [groups, STATE]
    arrived_ptr,  # int32 [groups], zeros before and after
    equals_ptr,  # int32 [chunks]
    select_ptr,  # int64 [groups, 2]
    chunk_count,
    SELECT: tl.constexpr,  # write the cuts to select_ptr, with the tie even if all equals are in
    PER_LAYER: tl.constexpr,
    AMONG: tl.constexpr,
    LARGEST: tl.constexpr,
    GROUPS: tl.constexpr,
    DTYPE: tl.constexpr,
    CHUNK: tl.constexpr,
    TILE: tl.constexpr,
):
    number = tl.program_id(0).to(tl.int64)
    chunk = read_chunk(number, entries_ptr, layout_ptr, chunk_layer_ptr, chunk_first_ptr, CHUNK)
    group = group_of(chunk, PER_LAYER)
    state_ptr += group * STATE
    searching = (tl.load(state_ptr + LEFT) > 0) & ((tl.load(state_ptr + TIE) < 0) | SELECT)
    if searching:
        rank = tl.load(state_ptr).to(tl.uint32)
        found, _ = _find_in_chunk(
            chunk, words_ptr, previous_ptr, rank, 0, AMONG, LARGEST, GROUPS, DTYPE, TILE
        )
        tl.store(equals_ptr + number, found)
    if searching | SELECT:
        first, programs = chunks_of_group(group, chunk_first_ptr, chunk_count, PER_LAYER)
        if is_last(arrived_ptr + group, programs):
            left = tl.load(state_ptr + LEFT)
            if left > 0:
                at, nth = _find_chunk(equals_ptr, first, programs, left)
                last = read_chunk(
                    at, entries_ptr, layout_ptr, chunk_layer_ptr, chunk_first_ptr, CHUNK
                )
                rank = tl.load(state_ptr).to(tl.uint32)
                _, unit = _find_in_chunk(
                    last, words_ptr, previous_ptr, rank, nth,
                    AMONG, LARGEST, GROUPS, DTYPE, TILE,
                )  # fmt: skip
                tie = last.begin + unit + 1 + (0 if PER_LAYER else last.unit_offset)
                tl.store(state_ptr + TIE, tie)
            if SELECT:
                _write_cut(select_ptr + group * 2, state_ptr, LARGEST)
