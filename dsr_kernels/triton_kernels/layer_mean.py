"""layer_mean in Triton: each layer's mean magnitude over its active units, in fixed point.

Moves: the active values and the mask twice in. Two launches: the largest magnitude of all layers,
which sets the scale, then the sums on that scale. A program takes a chunk of one layer, and in the
second launch the layer's last program divides. Maxima and sums of integers do not depend on the
order of programs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from dsr_kernels.chunks import chunks
from dsr_kernels.triton_kernels.bits import bit_length, popcount
from dsr_kernels.triton_kernels.finish import is_last
from dsr_kernels.triton_kernels.pointers import dtype_code, has_groups, layer_table
from dsr_kernels.triton_kernels.tuning import tuning
from dsr_kernels.triton_kernels.units import (
    GROUP_UNITS,
    INF_KEY,
    WORD,
    load_words,
    read_chunk,
    unit_keys,
    unpack,
)

FIXED_BITS = tl.constexpr(31)  # of the largest magnitude
FRACTION_BITS = tl.constexpr(23)  # of a float32
# A layer's row: arrivals, sum, active units. Behind the rows: the largest key.
CELLS = tl.constexpr(3)


@triton.jit
def _mantissa(keys):
    """The number whose bits are ``key`` is mantissa * 2^(exponent - 149)."""
    implied = (keys >> FRACTION_BITS != 0).to(tl.int32) << FRACTION_BITS
    return (keys & 0x7FFFFF) | implied


@triton.jit
def _exponent(keys):
    return tl.maximum(keys >> FRACTION_BITS, 1) - 1


@triton.jit
def _add_tile(
    chunk, words_ptr, begin, scale, largest, total, active, LARGEST: tl.constexpr,
    GROUPED: tl.constexpr, WORDS: tl.constexpr, DTYPE: tl.constexpr,
):  # fmt: skip
    """Goes on with the largest key, or with the sum on ``scale`` and the active units."""
    words = load_words(words_ptr, chunk, begin, WORDS)
    keys = unit_keys(chunk, begin, words, GROUPED, WORDS, DTYPE)
    keys = tl.where(unpack(words) & (keys < INF_KEY), keys, 0)
    if LARGEST:
        largest = tl.maximum(largest, tl.max(tl.max(keys, axis=1), axis=0))
    else:
        shift = _exponent(keys) + scale
        down = tl.minimum(tl.maximum(-shift, 0), FIXED_BITS)
        fixed = (_mantissa(keys) << tl.maximum(shift, 0)) >> down
        total += tl.sum(tl.sum(fixed.to(tl.int64), axis=1), axis=0)
        active += tl.sum(popcount(words.to(tl.uint32, bitcast=True)), axis=0)
    return largest, total, active


@triton.jit
def _add_chunk(
    chunk, words_ptr, scale, LARGEST: tl.constexpr, GROUPED: tl.constexpr, WORDS: tl.constexpr,
    DTYPE: tl.constexpr,
):  # fmt: skip
    total = chunk.begin * 0
    largest = total.to(tl.int32)
    active = largest
    for offset in range(0, chunk.end - chunk.begin, WORDS * WORD):
        largest, total, active = _add_tile(
            chunk, words_ptr, chunk.begin + offset, scale, largest, total, active,
            LARGEST, GROUPED, WORDS, DTYPE,
        )  # fmt: skip
    return largest, total, active


@triton.jit(do_not_specialize=["layers"])
def layer_mean_kernel(
    entries_ptr,  # int64 [layers, 3]
    words_ptr,  # int32 [words]
    layout_ptr,  # int64 [layers, 5]
    chunk_layer_ptr,  # int32 [chunks]
    chunk_first_ptr,  # int64 [layers + 1]
    cells_ptr,  # int64 [layers * CELLS + 1], zeros before
    mean_ptr,  # int64 [layers]
    layers,
    LARGEST: tl.constexpr,  # the first launch
    GROUPS: tl.constexpr,  # whether a layer has units of several elements
    DTYPE: tl.constexpr,
    CHUNK: tl.constexpr,
    TILE: tl.constexpr,
):
    number = tl.program_id(0).to(tl.int64)
    chunk = read_chunk(number, entries_ptr, layout_ptr, chunk_layer_ptr, chunk_first_ptr, CHUNK)
    largest_ptr = cells_ptr + layers * CELLS
    scale = 0
    if not LARGEST:
        known = tl.load(largest_ptr).to(tl.int32)
        scale = FIXED_BITS - bit_length(_mantissa(known).to(tl.uint32)) - _exponent(known)
    if chunk.unit_size > 1 if GROUPS else False:
        largest, total, active = _add_chunk(
            chunk, words_ptr, scale, LARGEST, True, GROUP_UNITS // WORD, DTYPE
        )
    else:
        largest, total, active = _add_chunk(
            chunk, words_ptr, scale, LARGEST, False, TILE // WORD, DTYPE
        )
    if LARGEST:
        # A mask and no branch: others change what the threads of a program read meanwhile.
        raises = largest > tl.load(largest_ptr, cache_modifier=".cg")
        tl.atomic_max(largest_ptr, largest.to(tl.int64), raises, sem="relaxed", scope="gpu")
    else:
        cell_ptr = cells_ptr + chunk.layer * CELLS
        tl.atomic_add(cell_ptr + 1, total, sem="relaxed", scope="gpu")
        tl.atomic_add(cell_ptr + 2, active.to(tl.int64), sem="relaxed", scope="gpu")
        first = tl.load(chunk_first_ptr + chunk.layer)
        if is_last(cell_ptr, tl.load(chunk_first_ptr + chunk.layer + 1) - first):
            total = tl.load(cell_ptr + 1, cache_modifier=".cg")
            active_units = tl.load(cell_ptr + 2, cache_modifier=".cg")
            tl.store(mean_ptr + chunk.layer, total // tl.maximum(active_units, 1))


def layer_mean(tensors: Sequence[Tensor], words: Tensor, table: Tensor) -> Tensor:
    layers = len(table)
    mean = table.new_empty(layers)
    if layers == 0:
        return mean
    config = tuning("layer_mean")
    plan = chunks(table, config.block)
    entries = layer_table(tensors, table)
    cells = table.new_zeros(layers * CELLS.value + 1)
    with torch.cuda.device_of(words):
        for largest in (True, False):
            layer_mean_kernel[(plan.number,)](
                entries,
                words,
                table,
                plan.layer,
                plan.first,
                cells,
                mean,
                layers,
                LARGEST=largest,
                GROUPS=has_groups(table),
                DTYPE=dtype_code(tensors),
                CHUNK=config.block,
                TILE=config.tile,
                num_warps=config.warps,
                enable_fp_fusion=False,
            )
    return mean
