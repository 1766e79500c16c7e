"""prune_sign_flips_ in Triton: units whose sign changed become inactive, the signs are noted.

Moves: the active weights and three bits a unit in, the bits and the pruned weights out. One
launch: a program takes a chunk of one layer, and the layer's last program writes the counts. Every
unit belongs to one program and the sums are of integers: the order of programs does not matter.
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
from dsr_kernels.triton_kernels.pointers import dtype_code, layer_table
from dsr_kernels.triton_kernels.tuning import tuning
from dsr_kernels.triton_kernels.units import (
    FLOAT32,
    INF_KEY,
    MAGNITUDE,
    MIXED,
    WORD,
    element_values,
    load_words,
    pack,
    read_chunk,
    tile_numbers,
    unpack,
)
from dsr_kernels.workspace import counters

# A layer's row of counters: arrivals, pruned, surviving, non-finite.
CELLS = tl.constexpr(4)


@triton.jit
def _count(cell_ptr, words):
    number = tl.sum(popcount(words.to(tl.uint32, bitcast=True)), axis=0)
    if number > 0:
        tl.atomic_add(cell_ptr, number.to(tl.int64), sem="relaxed", scope="gpu")


@triton.jit
def _take_count(cell_ptr, out_ptr):
    tl.store(out_ptr, tl.load(cell_ptr, cache_modifier=".cg"))
    tl.store(cell_ptr, tl.full([], 0, tl.int64))


@triton.jit
def _zero(chunk, gone, WORDS: tl.constexpr, DTYPE: tl.constexpr):
    offsets = chunk.begin + tile_numbers(WORDS)
    if (chunk.code == FLOAT32) if DTYPE == MIXED else (DTYPE == FLOAT32):
        tl.store(chunk.data.to(tl.pointer_type(tl.int32)) + offsets, 0, mask=unpack(gone))
    else:
        tl.store(chunk.data.to(tl.pointer_type(tl.int16)) + offsets, 0, mask=unpack(gone))


@triton.jit
def prune_sign_flips_kernel(
    entries_ptr,  # int64 [layers, 3]
    words_ptr,  # int32 [words], and the next two
    positive_ptr,
    negative_ptr,
    layout_ptr,  # int64 [layers, 5]
    chunk_layer_ptr,  # int32 [chunks]
    chunk_first_ptr,  # int64 [layers + 1]
    cells_ptr,  # int64 [layers, CELLS], zeros before and after
    pruned_ptr,  # int64 [layers], and the next two
    surviving_ptr,
    nonfinite_ptr,
    ZERO: tl.constexpr,
    DTYPE: tl.constexpr,
    CHUNK: tl.constexpr,
):
    WORDS: tl.constexpr = CHUNK // WORD
    number = tl.program_id(0).to(tl.int64)
    chunk = read_chunk(number, entries_ptr, layout_ptr, chunk_layer_ptr, chunk_first_ptr, CHUNK)
    active = load_words(words_ptr, chunk, chunk.begin, WORDS)
    values = element_values(chunk, chunk.begin, active, WORDS, DTYPE)
    magnitudes = values & MAGNITUDE
    signed = (magnitudes > 0) & (magnitudes <= INF_KEY)  # no zero and no NaN
    rises = pack(signed & (values > 0)) & active
    falls = pack(signed & (values < 0)) & active
    gone = falls & load_words(positive_ptr, chunk, chunk.begin, WORDS)
    gone |= rises & load_words(negative_ptr, chunk, chunk.begin, WORDS)

    # Threads may hold the same word: none may store it before all have read it.
    tl.debug_barrier()
    index = chunk.begin // WORD + tl.arange(0, WORDS)
    inside = index * WORD < chunk.units
    index += chunk.word_offset
    tl.store(words_ptr + index, active & ~gone, mask=inside & (gone != 0))
    tl.store(positive_ptr + index, rises & ~gone, mask=inside)
    tl.store(negative_ptr + index, falls & ~gone, mask=inside)
    if ZERO:
        _zero(chunk, gone, WORDS, DTYPE)

    cell_ptr = cells_ptr + chunk.layer * CELLS
    _count(cell_ptr + 1, gone)
    _count(cell_ptr + 2, active & ~gone)
    _count(cell_ptr + 3, pack(magnitudes >= INF_KEY) & active)
    first = tl.load(chunk_first_ptr + chunk.layer)
    if is_last(cell_ptr, tl.load(chunk_first_ptr + chunk.layer + 1) - first):
        _take_count(cell_ptr + 1, pruned_ptr + chunk.layer)
        _take_count(cell_ptr + 2, surviving_ptr + chunk.layer)
        _take_count(cell_ptr + 3, nonfinite_ptr + chunk.layer)


def prune_sign_flips_(
    weights: Sequence[Tensor],
    words: Tensor,
    positive: Tensor,
    negative: Tensor,
    table: Tensor,
    zero: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    layers = len(table)
    pruned, surviving, nonfinite = (table.new_empty(layers) for _ in range(3))
    if layers == 0:
        return pruned, surviving, nonfinite
    config = tuning("prune_sign_flips_")
    plan = chunks(table, config.block)
    with torch.cuda.device_of(words):
        prune_sign_flips_kernel[(plan.number,)](
            layer_table(weights, table),
            words,
            positive,
            negative,
            table,
            plan.layer,
            plan.first,
            counters(words, "triton_sign_flips", 2 * CELLS.value * layers).view(torch.int64),
            pruned,
            surviving,
            nonfinite,
            ZERO=zero,
            DTYPE=dtype_code(weights),
            CHUNK=config.block,
            num_warps=config.warps,
        )
    return pruned, surviving, nonfinite
