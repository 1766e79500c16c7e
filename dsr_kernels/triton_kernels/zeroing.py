"""Zeroing what a pruning pass has pruned, and the one unit that a layer keeps at its end.

A *place* is a unit that its program has pruned without zeroing it, as
key << 32 | (unit ^ LOW): places order units by key and, among equal keys, the lowest unit last.
"""

from __future__ import annotations

import triton
import triton.language as tl

from dsr_kernels.triton_kernels.ranks import LOW
from dsr_kernels.triton_kernels.units import FLOAT32, MIXED, WORD, first_elements, tile_numbers

# A layer's row of counters: arrivals; pruned << 32 | surviving; non-finite; its best place.
CELLS = tl.constexpr(4)
ROWS = tl.constexpr(4)  # elements of a unit that are zeroed together
PLACES = tl.constexpr(128)  # places the last program looks at together


@triton.jit
def best_place(keys, gone, begin, WORDS: tl.constexpr):
    """Of the units ``gone``, the first of largest key, as key << 32 | (unit ^ LOW), or 0.

    Such places order units by key and, among equal keys, the lowest unit last.
    """
    candidates = tl.where(gone, keys, -1)
    largest = tl.max(tl.max(candidates, axis=1), axis=0)
    tied = tl.where(candidates == largest, tile_numbers(WORDS), WORDS * WORD)
    unit = begin + tl.min(tl.min(tied, axis=1), axis=0)
    return tl.where(largest < 0, 0, (largest.to(tl.int64) << 32) | (unit ^ LOW))


@triton.jit
def unit_of(place):
    return (place & LOW) ^ LOW


@triton.jit
def _store_zeros(chunk, start, offsets, chosen, DTYPE: tl.constexpr):
    if (chunk.code == FLOAT32) if DTYPE == MIXED else (DTYPE == FLOAT32):
        tl.store(chunk.data.to(tl.pointer_type(tl.int32)) + start + offsets, 0, mask=chosen)
    else:
        tl.store(chunk.data.to(tl.pointer_type(tl.int16)) + start + offsets, 0, mask=chosen)


@triton.jit
def _zero_units(chunk, units, chosen, GROUPS: tl.constexpr, DTYPE: tl.constexpr):
    """+0.0 to all elements of some units; ``units`` and ``chosen`` are [1, any]."""
    if GROUPS:
        first = first_elements(chunk, units)
        for row in range(0, chunk.unit_size, ROWS):
            element = row + tl.arange(0, ROWS).to(tl.int64)[:, None]
            inside = chosen & (element < chunk.unit_size)
            # As one row, for what Triton 3.6 makes of a tile; see units._group_magnitudes.
            offsets = tl.ravel(first + element * chunk.inner)
            _store_zeros(chunk, 0, offsets, tl.ravel(inside), DTYPE)
    else:
        _store_zeros(chunk, 0, units, chosen, DTYPE)


@triton.jit
def zero_place(chunk, place, GROUPS: tl.constexpr, DTYPE: tl.constexpr):
    if place != 0:
        one = tl.full([1, 1], 1, tl.int64)
        _zero_units(chunk, one * unit_of(place), one == 1, GROUPS, DTYPE)


@triton.jit
def zero_tile(chunk, begin, gone, GROUPED: tl.constexpr, WORDS: tl.constexpr, DTYPE: tl.constexpr):
    numbers = tile_numbers(WORDS)
    if GROUPED:
        units = begin + tl.reshape(numbers, [1, WORDS * WORD])
        _zero_units(chunk, units, tl.reshape(gone, [1, WORDS * WORD]), True, DTYPE)
    else:
        _store_zeros(chunk, begin, numbers, gone, DTYPE)


@triton.jit
def _settle_places(
    chunk,
    words_ptr,
    kept_ptr,
    first,
    last,
    spared,
    ZERO: tl.constexpr,
    GROUPS: tl.constexpr,
    DTYPE: tl.constexpr,
):
    """Zeroes the units that chunks left to the last program, but for ``spared``."""
    if ZERO:
        for at in range(first, last, PLACES):
            numbers = at + tl.arange(0, PLACES)
            inside = numbers < last
            places = tl.load(kept_ptr + numbers, mask=inside, other=0, cache_modifier=".cg")
            chosen = (places != 0) & (places != spared)
            _zero_units(chunk, unit_of(places)[None, :], chosen[None, :], GROUPS, DTYPE)
    if spared != 0:
        unit = unit_of(spared)
        bit = tl.full([], 1, tl.int32) << (unit % WORD).to(tl.int32)
        tl.atomic_or(words_ptr + chunk.word_offset + unit // WORD, bit)


@triton.jit
def finish_layer(
    chunk,
    words_ptr,
    cell_ptr,
    kept_ptr,
    pruned_ptr,
    surviving_ptr,
    nonfinite_ptr,
    first,
    last,
    ZERO: tl.constexpr,
    KEEP_ONE: tl.constexpr,
    GROUPS: tl.constexpr,
    DTYPE: tl.constexpr,
):
    """Writes the layer's outputs and sets its counters back to 0."""
    both = tl.load(cell_ptr + 1, cache_modifier=".cg")
    pruned = (both >> 32) & LOW
    surviving = both & LOW
    if KEEP_ONE:
        best = tl.load(cell_ptr + 3, cache_modifier=".cg")
        if best != 0:
            spared = tl.where(surviving == 0, best, 0)
            _settle_places(chunk, words_ptr, kept_ptr, first, last, spared, ZERO, GROUPS, DTYPE)
            pruned -= (spared != 0).to(tl.int64)
            surviving += (spared != 0).to(tl.int64)
        tl.debug_barrier()  # every warp has read it, and taken the same branch
        tl.store(cell_ptr + 3, 0)
    tl.store(pruned_ptr + chunk.layer, pruned)
    tl.store(surviving_ptr + chunk.layer, surviving)
    tl.store(nonfinite_ptr + chunk.layer, tl.load(cell_ptr + 2, cache_modifier=".cg"))
    tl.debug_barrier()
    tl.store(cell_ptr + 1, 0)
    tl.store(cell_ptr + 2, 0)
