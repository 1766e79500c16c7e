"""add_noise_ in Triton: a normal random number times the layer's scale to every active element.

Moves: one bit a unit, and the active elements in and out; the rest is arithmetic. A program takes
BLOCK consecutive elements of one tensor in tiles, and four neighbours share the words that Philox
draws at one index. Each element is written by one program, and its noise depends on its number
alone: the order of programs does not matter. One launch a dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from dsr_kernels.layout import TABLE_COLUMNS
from dsr_kernels.reference.normal import FRACTION_BITS, normal_table
from dsr_kernels.triton_kernels.elements import element_bits, element_offsets, find_entry
from dsr_kernels.triton_kernels.philox import random_words, seed_halves
from dsr_kernels.triton_kernels.pointers import group_tensors, pointer_table
from dsr_kernels.triton_kernels.tuning import tuning
from dsr_kernels.workspace import refuse_capture

WORD = tl.constexpr(32)
LAYER = tl.constexpr(TABLE_COLUMNS)
FRACTION = tl.constexpr(FRACTION_BITS)
FRACTION_MASK = tl.constexpr((1 << FRACTION_BITS) - 1)
FRACTION_STEP = tl.constexpr(2.0**-FRACTION_BITS)
GROUP = tl.constexpr(4)  # elements that share one Philox counter

# bfloat16 is read and written as its bits: the upper half of a float32.
STORED_TYPES = {torch.float32: tl.float32, torch.bfloat16: tl.int16, torch.float16: tl.float16}


@triton.jit
def _standard_normal(words, normal_ptr):
    """reference/normal.py: every operation is rounded by itself."""
    interval = (words >> FRACTION).to(tl.int32)
    fraction = (words & FRACTION_MASK).to(tl.int32).to(tl.float32) * FRACTION_STEP
    low = tl.load(normal_ptr + interval)
    return low + fraction * (tl.load(normal_ptr + interval + 1) - low)


@triton.jit
def _draw(start, seed_low, seed_high, purpose, layer, counter, TILE: tl.constexpr):
    """A random word for each element of a tile: uint32 [TILE // 32, 32]."""
    GROUPS: tl.constexpr = WORD // GROUP
    rows = start // GROUP + tl.arange(0, TILE // WORD)[:, None] * GROUPS
    index = rows + tl.arange(0, GROUPS)[None, :]
    w0, w1, w2, w3 = random_words(index, seed_low, seed_high, purpose, layer, counter)
    return tl.interleave(tl.interleave(w0, w2), tl.interleave(w1, w3))


@triton.jit
def _add(data_ptr, noise, chosen, STORED: tl.constexpr):
    """Adds the noise to the chosen elements whose sum is no NaN."""
    stored = tl.load(data_ptr, mask=chosen, other=0)
    if tl.int16 == STORED:
        total = (stored.to(tl.int32) << 16).to(tl.float32, bitcast=True) + noise
        # To nearest, ties to even. By integers: Triton's interpreter rounds ties up.
        bits = total.to(tl.uint32, bitcast=True)
        rounded = ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).to(tl.int16)
    else:
        total = stored.to(tl.float32) + noise
        rounded = total.to(STORED)
    tl.store(data_ptr, rounded, mask=chosen & (total == total))


@triton.jit(do_not_specialize=["tensors", "seed_low", "seed_high", "purpose"])
def add_noise_kernel(
    entries_ptr,  # int64 [tensors, 4]: pointer, elements, layer, first program
    words_ptr,  # int32 [words]
    layout_ptr,  # int64 [layers, 5]
    scale_ptr,  # float32 [layers]
    counter_ptr,  # int64 [1]
    normal_ptr,  # float32 [1025]
    tensors,
    seed_low,
    seed_high,
    purpose,
    STORED: tl.constexpr,
    STEPS: tl.constexpr,  # 2 ** STEPS >= tensors
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
):
    program = tl.program_id(0).to(tl.int64)
    entry_ptr = find_entry(entries_ptr, tensors, program, STEPS)
    data_ptr = tl.load(entry_ptr).to(tl.pointer_type(STORED))
    elements = tl.load(entry_ptr + 1)
    layer = tl.load(entry_ptr + 2)
    row_ptr = layout_ptr + layer * LAYER
    words_ptr += tl.load(row_ptr + 3)
    start = (program - tl.load(entry_ptr + 3)) * BLOCK
    scale = tl.load(scale_ptr + layer)
    counter = tl.load(counter_ptr)
    unit_size = tl.load(row_ptr + 1)
    inner = tl.load(row_ptr + 2)
    for tile in range(BLOCK // TILE):
        at = start + tile * TILE
        bits = element_bits(words_ptr, words_ptr, at, elements, unit_size, inner, False, TILE)
        offsets = element_offsets(at, TILE)
        drawn = _draw(at, seed_low, seed_high, purpose, layer, counter, TILE)
        noise = scale * _standard_normal(drawn, normal_ptr)
        _add(data_ptr + offsets, noise, (bits != 0) & (offsets < elements), STORED)


@cache
def _normal_table(device: torch.device) -> Tensor:
    refuse_capture(device)
    return normal_table().to(device)


def add_noise_(
    tensors: Sequence[Tensor],
    layers: Sequence[int],
    words: Tensor,
    table: Tensor,
    scale: Tensor,
    seed: int,
    counter: Tensor,
    purpose: int,
) -> None:
    config = tuning("add_noise_")
    for dtype, chosen in group_tensors(tensors, layers, lambda tensor: tensor.dtype).items():
        entries, programs = pointer_table(chosen, config.block)
        with torch.cuda.device_of(words):
            add_noise_kernel[(programs,)](
                entries,
                words,
                table,
                scale,
                counter,
                _normal_table(words.device),
                len(chosen),
                *seed_halves(seed),
                purpose,
                STORED=STORED_TYPES[dtype],
                STEPS=(len(chosen) - 1).bit_length(),
                BLOCK=config.block,
                TILE=config.tile,
                num_warps=config.warps,
                enable_fp_fusion=False,
            )
