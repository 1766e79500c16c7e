"""One launch that prunes what lies below a cut: the whole of prune_threshold_, the end of others.

Moves: the active weights and the mask once in, changed mask words and pruned weights out. A
program takes a chunk of one layer; the layer's last program adds up. All sums are of integers, so
the order of programs changes nothing.

With KEEP_ONE a layer keeps one unit: the one of largest key, lowest index. A program without a
survivor therefore leaves the weight of its own best unit as it is and writes the unit down. The
layer's last program spares the best of these if no program had a survivor and zeroes the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from dsr_kernels.chunks import chunks
from dsr_kernels.triton_kernels.bits import popcount
from dsr_kernels.triton_kernels.finish import is_last
from dsr_kernels.triton_kernels.pointers import dtype_code, has_groups, layer_table
from dsr_kernels.triton_kernels.ranks import STATE, TIE
from dsr_kernels.triton_kernels.tuning import tuning
from dsr_kernels.triton_kernels.units import (
    INF_KEY,
    NAN_KEY,
    WORD,
    load_words,
    pack,
    read_chunk,
    tile_numbers,
    unit_keys,
    unpack,
)
from dsr_kernels.triton_kernels.zeroing import (
    CELLS,
    best_place,
    finish_layer,
    unit_of,
    zero_place,
    zero_tile,
)
from dsr_kernels.workspace import counters

ELEMENT_REGISTERS = 72  # a thread, without groups; some ptxas would take 64 and spill one
PRUNED_GROUPS = tl.constexpr(64)  # groups a program reads together: with 128 registers spill
FIELD = tl.constexpr(20)  # bits for each of three counts of one chunk
MASK = tl.constexpr((1 << 20) - 1)


@triton.jit
def _popcount(words):
    return popcount(words.to(tl.uint32, bitcast=True)).to(tl.int64)


@triton.jit
def _read_cut(threshold_ptr, state_ptr, chunk, TIES: tl.constexpr, PER_LAYER: tl.constexpr):
    """The key below which units go, and the unit of the layer below which those of this key go."""
    if TIES:
        row_ptr = state_ptr + (chunk.layer if PER_LAYER else 0) * STATE
        cut = tl.load(row_ptr).to(tl.int32)
        tie = tl.load(row_ptr + TIE) - (0 if PER_LAYER else chunk.unit_offset)
    else:
        bits = tl.load(threshold_ptr).to(tl.int32, bitcast=True) & 0x7FFFFFFF
        cut = tl.where(bits > INF_KEY, NAN_KEY, bits)
        tie = chunk.begin * 0
    return cut, tie


@triton.jit
def _prune_tile(
    chunk,
    words_ptr,
    begin,
    cut,
    tie,
    counts,
    kept,
    TIES: tl.constexpr,
    ZERO: tl.constexpr,
    KEEP_ONE: tl.constexpr,
    GROUPED: tl.constexpr,
    WORDS: tl.constexpr,
    DTYPE: tl.constexpr,
):
    """Goes on with the chunk's counts, three in one int64, and with its place, which see."""
    words = load_words(words_ptr, chunk, begin, WORDS)
    keys = unit_keys(chunk, begin, words, GROUPED, WORDS, DTYPE)
    below = keys < cut
    if TIES:
        near = tl.minimum(tl.maximum(tie - begin, 0), WORDS * WORD).to(tl.int32)
        below |= (keys == cut) & (tile_numbers(WORDS) < near)
    active = unpack(words)
    gone = active & below
    gone_words = pack(gone)
    left_words = words & ~gone_words
    words_at = chunk.word_offset + begin // WORD + tl.arange(0, WORDS)
    # Where threads hold copies of a word, all of them must have loaded it before one stores it.
    tl.debug_barrier()
    tl.store(words_ptr + words_at, left_words, mask=gone_words != 0)

    nonfinite = tl.sum((active & (keys >= INF_KEY)).to(tl.int32), axis=1).to(tl.int64)
    both = _popcount(gone_words) | (_popcount(left_words) << FIELD)
    counts += tl.sum(both | (nonfinite << (2 * FIELD)), axis=0)
    if KEEP_ONE:
        lost = kept
        kept = kept * 0
        if ((counts >> FIELD) & MASK) == 0:
            best = best_place(keys, gone, begin, WORDS)
            unit = (unit_of(best) - begin).to(tl.int32)
            # A tile, since a bool spread over one is no bool any more in Triton's interpreter.
            none = tl.zeros([WORDS, 1], tl.int64) + best == 0
            gone &= none | (tile_numbers(WORDS) != unit)
            kept = tl.maximum(lost, best)
            lost = tl.minimum(lost, best)
        if ZERO:
            zero_place(chunk, lost, GROUPED, DTYPE)
    if ZERO:
        zero_tile(chunk, begin, gone, GROUPED, WORDS, DTYPE)
    return counts, kept


@triton.jit
def _prune_groups(
    chunk,
    words_ptr,
    cut,
    tie,
    TIES: tl.constexpr,
    ZERO: tl.constexpr,
    KEEP_ONE: tl.constexpr,
    DTYPE: tl.constexpr,
):
    counts = chunk.begin * 0
    kept = counts
    for offset in range(0, chunk.end - chunk.begin, PRUNED_GROUPS):
        counts, kept = _prune_tile(
            chunk, words_ptr, chunk.begin + offset, cut, tie, counts, kept,
            TIES, ZERO, KEEP_ONE, True, PRUNED_GROUPS // WORD, DTYPE,
        )  # fmt: skip
    return counts, kept


@triton.jit
def prune_kernel(
    entries_ptr,  # int64 [layers, 3]
    words_ptr,  # int32 [words]
    layout_ptr,  # int64 [layers, 5]
    chunk_layer_ptr,  # int32 [chunks]
    chunk_first_ptr,  # int64 [layers + 1]
    threshold_ptr,  # float32 [1], read without TIES
    state_ptr,  # int64 [groups, STATE] of a search, read with TIES
    cells_ptr,  # int64 [layers, CELLS], zeros before and after
    kept_ptr,  # int64 [chunks]
    pruned_ptr,  # int64 [layers]
    surviving_ptr,  # int64 [layers]
    nonfinite_ptr,  # int64 [layers]
    TIES: tl.constexpr,
    PER_LAYER: tl.constexpr,
    ZERO: tl.constexpr,
    KEEP_ONE: tl.constexpr,
    GROUPS: tl.constexpr,  # whether a layer has units of several elements
    DTYPE: tl.constexpr,
    CHUNK: tl.constexpr,
):
    number = tl.program_id(0).to(tl.int64)
    chunk = read_chunk(number, entries_ptr, layout_ptr, chunk_layer_ptr, chunk_first_ptr, CHUNK)
    cut, tie = _read_cut(threshold_ptr, state_ptr, chunk, TIES, PER_LAYER)
    if chunk.unit_size > 1 if GROUPS else False:
        counts, kept = _prune_groups(chunk, words_ptr, cut, tie, TIES, ZERO, KEEP_ONE, DTYPE)
    else:
        counts, kept = _prune_tile(
            chunk, words_ptr, chunk.begin, cut, tie, chunk.begin * 0, chunk.begin * 0,
            TIES, ZERO, KEEP_ONE, False, CHUNK // WORD, DTYPE,
        )  # fmt: skip

    cell_ptr = cells_ptr + chunk.layer * CELLS
    tl.atomic_add(cell_ptr + 1, ((counts & MASK) << 32) | ((counts >> FIELD) & MASK))
    if counts >> (2 * FIELD) != 0:
        tl.atomic_add(cell_ptr + 2, counts >> (2 * FIELD))
    if KEEP_ONE:
        tl.store(kept_ptr + number, kept)
        if kept != 0:
            tl.atomic_max(cell_ptr + 3, kept)
    first = tl.load(chunk_first_ptr + chunk.layer)
    last = tl.load(chunk_first_ptr + chunk.layer + 1)
    if is_last(cell_ptr, last - first):
        finish_layer(
            chunk, words_ptr, cell_ptr, kept_ptr, pruned_ptr, surviving_ptr, nonfinite_ptr,
            first, last, ZERO, KEEP_ONE, GROUPS, DTYPE,
        )  # fmt: skip


def prune_pass(
    op: str,
    weights: Sequence[Tensor],
    words: Tensor,
    table: Tensor,
    cut: Tensor,
    *,
    ties: bool,
    per_layer: bool,
    zero: bool,
    keep_one: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Prunes below ``cut``, a threshold or, with ``ties``, what a search left; counts a layer."""
    config = tuning(op)
    layers = len(table)
    pruned, surviving, nonfinite = (table.new_empty(layers) for _ in range(3))
    if layers == 0:
        return pruned, surviving, nonfinite
    plan, groups = chunks(table, config.block), has_groups(table)
    with torch.cuda.device_of(words):
        prune_kernel[(plan.number,)](
            layer_table(weights, table),
            words,
            table,
            plan.layer,
            plan.first,
            cut,
            cut,
            counters(words, "triton_prune", 2 * CELLS.value * layers).view(torch.int64),
            table.new_empty(plan.number if keep_one else 0),
            pruned,
            surviving,
            nonfinite,
            TIES=ties,
            PER_LAYER=per_layer,
            ZERO=zero,
            KEEP_ONE=keep_one,
            GROUPS=groups,
            DTYPE=dtype_code(weights),
            CHUNK=config.block,
            num_warps=config.warps,
            maxnreg=None if groups else ELEMENT_REGISTERS,
            enable_fp_fusion=False,
        )
    return pruned, surviving, nonfinite
