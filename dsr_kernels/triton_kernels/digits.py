"""A digit of the search for the k-th unit: counted, and chosen by the last program."""

from __future__ import annotations

import triton
import triton.language as tl

from dsr_kernels.triton_kernels.finish import is_last
from dsr_kernels.triton_kernels.ranks import (
    ALL_TIES,
    LEFT,
    LOW,
    STATE,
    TIE,
    UNKNOWN,
    chunks_of_group,
    group_of,
    ranks_of_tile,
)
from dsr_kernels.triton_kernels.units import GROUP_UNITS, INF_KEY, WORD, read_chunk

BINS = tl.constexpr(256)


@triton.jit
def _count_tiles(
    chunk,
    words_ptr,
    previous_ptr,
    prefix,
    shift,
    NONFINITE: tl.constexpr,
    AMONG: tl.constexpr,
    LARGEST: tl.constexpr,
    GROUPED: tl.constexpr,
    WORDS: tl.constexpr,
    DTYPE: tl.constexpr,
):
    """How many of the chunk's candidates have each digit, and how many are Inf or NaN."""
    bins = tl.zeros([BINS], tl.int32)
    nonfinite = tl.zeros([WORDS], tl.int32)
    for offset in range(0, chunk.end - chunk.begin, WORDS * WORD):
        ranks, candidates, keys = ranks_of_tile(
            chunk, words_ptr, previous_ptr, chunk.begin + offset,
            AMONG, LARGEST, GROUPED, WORDS, DTYPE,
        )  # fmt: skip
        upper = ranks >> shift.to(tl.uint32)
        counted = candidates & ((upper >> 8) == prefix)
        digits = tl.reshape((upper & 0xFF).to(tl.int32), [WORDS * WORD])
        bins += tl.histogram(digits, BINS, mask=tl.reshape(counted, [WORDS * WORD]))
        if NONFINITE:
            nonfinite += tl.sum((candidates & (keys >= INF_KEY)).to(tl.int32), axis=1)
    return bins, tl.sum(nonfinite, axis=0)


@triton.jit
def _choose_digit(bins_ptr, k_ptr, state_ptr, shortfall_ptr, FIRST: tl.constexpr):
    """Goes on with the digit that holds the k-th candidate; the pointers are the group's own."""
    lane = tl.arange(0, BINS)
    bins = tl.load(bins_ptr + lane, cache_modifier=".cg").to(tl.int64) & LOW
    tl.store(bins_ptr + lane, tl.zeros([BINS], tl.int32))
    if FIRST:
        candidates = tl.sum(bins, axis=0)
        wanted = tl.load(k_ptr)
        tl.store(shortfall_ptr, tl.maximum(wanted - candidates, 0))
        left = tl.minimum(tl.maximum(wanted, 0), candidates)
        prefix = left * 0
    else:
        left = tl.load(state_ptr + LEFT)
        prefix = tl.load(state_ptr)
    before = tl.cumsum(bins, axis=0) < left
    digit = tl.sum(before.to(tl.int32), axis=0)
    left -= tl.sum(tl.where(before, bins, 0), axis=0)
    equal = tl.sum(tl.where(lane == digit, bins, 0), axis=0)
    tie = tl.where(left == equal, ALL_TIES, UNKNOWN)
    tl.store(state_ptr, prefix * BINS + digit)
    tl.store(state_ptr + LEFT, left)
    tl.store(state_ptr + TIE, tl.where(left == 0, 0, tie))


@triton.jit(do_not_specialize=["shift"])
def count_kernel(
    entries_ptr,  # int64 [layers, 3]
    words_ptr,  # int32 [words]
    previous_ptr,  # int32 [words]
    layout_ptr,  # int64 [layers, 5]
    chunk_layer_ptr,  # int32 [chunks]
    chunk_first_ptr,  # int64 [layers + 1]
    k_ptr,  # int64 [groups]
    state_ptr,  # int64 [groups, STATE]
    bins_ptr,  # int32 [groups, BINS], zeros before and after
    arrived_ptr,  # int32 [groups], zeros before and after
    shortfall_ptr,  # int64 [groups]
    nonfinite_ptr,  # int64 [layers], zeros before
    chunk_count,
    shift,  # of the digit: 24, 16, 8, 0
    FIRST: tl.constexpr,
    NONFINITE: tl.constexpr,
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
    if FIRST:
        prefix = tl.full([], 0, tl.uint32)
        searching = (tl.load(k_ptr + group) > 0) | NONFINITE
    else:
        prefix = tl.load(state_ptr + group * STATE).to(tl.uint32)
        searching = tl.load(state_ptr + group * STATE + LEFT) > 0
    if searching:
        if chunk.unit_size > 1 if GROUPS else False:
            bins, nonfinite = _count_tiles(
                chunk, words_ptr, previous_ptr, prefix, shift,
                NONFINITE, AMONG, LARGEST, True, GROUP_UNITS // WORD, DTYPE,
            )  # fmt: skip
        else:
            bins, nonfinite = _count_tiles(
                chunk, words_ptr, previous_ptr, prefix, shift,
                NONFINITE, AMONG, LARGEST, False, TILE // WORD, DTYPE,
            )  # fmt: skip
        bin_ptrs = bins_ptr + group * BINS + tl.arange(0, BINS)
        tl.atomic_add(bin_ptrs, bins, mask=bins > 0, sem="relaxed")
        if NONFINITE:
            tl.atomic_add(nonfinite_ptr + chunk.layer, nonfinite.to(tl.int64), sem="relaxed")
    if searching | FIRST:
        _, programs = chunks_of_group(group, chunk_first_ptr, chunk_count, PER_LAYER)
        if is_last(arrived_ptr + group, programs):
            _choose_digit(
                bins_ptr + group * BINS, k_ptr + group, state_ptr + group * STATE,
                shortfall_ptr + group, FIRST,
            )  # fmt: skip
