"""The elements of a program that works on one of many tensors, and the mask bits of their units."""

from __future__ import annotations

import triton
import triton.language as tl

from dsr_kernels.layout import TABLE_COLUMNS
from dsr_kernels.triton_kernels.pointers import COLUMNS

WORD = tl.constexpr(32)
ENTRY = tl.constexpr(COLUMNS)
LAYER = tl.constexpr(TABLE_COLUMNS)


@triton.jit
def find_entry(entries_ptr, tensors, program, STEPS: tl.constexpr):
    """The row of the tensor a program works on: the last whose first program is not later."""
    low = program * 0
    high = low + tensors
    for _ in tl.static_range(STEPS):
        middle = (low + high) // 2
        left = tl.load(entries_ptr + middle * ENTRY + 3) > program
        high = tl.where(left, middle, high)
        low = tl.where(left, low, middle)
    return entries_ptr + low * ENTRY


@triton.jit
def element_offsets(start, TILE: tl.constexpr):
    """Offsets of a tile of elements, a row for every 32: int64 [TILE // 32, 32]."""
    rows = start // WORD + tl.arange(0, TILE // WORD)[:, None]
    return rows * WORD + tl.arange(0, WORD)[None, :]


@triton.jit
def load_word(words_ptr, previous_ptr, index, inside, CHANGED: tl.constexpr):
    """The mask words at ``index``, or with CHANGED the bits in which two masks differ."""
    word = tl.load(words_ptr + index, mask=inside, other=0)
    if CHANGED:
        word ^= tl.load(previous_ptr + index, mask=inside, other=0)
    return word


@triton.jit
def element_bits(
    words_ptr,
    previous_ptr,
    start,
    elements,
    unit_size,
    inner,
    CHANGED: tl.constexpr,
    TILE: tl.constexpr,
):
    """The bit of each element's unit: int32 [TILE // 32, 32], anything behind the last element."""
    bits = tl.arange(0, WORD)[None, :]
    if unit_size == 1:
        rows = start // WORD + tl.arange(0, TILE // WORD)[:, None]
        row = load_word(words_ptr, previous_ptr, rows, rows * WORD < elements, CHANGED)
        found = (row >> bits) & 1
    else:
        offsets = element_offsets(start, TILE)
        span = unit_size * inner
        # 64-bit division is several times slower on a GPU.
        if elements < 2147483648:
            short, short_inner = offsets.to(tl.uint32), inner.to(tl.uint32)
            short_units = short // span.to(tl.uint32) * short_inner + short % short_inner
            units = short_units.to(tl.int64)
        else:
            units = offsets // span * inner + offsets % inner
        word = load_word(words_ptr, previous_ptr, units // WORD, offsets < elements, CHANGED)
        found = (word >> (units % WORD).to(tl.int32)) & 1
    return found


@triton.jit
def zero_elements(
    entries_ptr,  # int64 [tensors, ENTRY]: pointer, elements, layer, first program
    words_ptr,  # int32 [words]
    previous_ptr,  # int32 [words]
    layout_ptr,  # int64 [layers, LAYER]
    tensors,
    CHANGED: tl.constexpr,
    ELEMENT: tl.constexpr,
    STEPS: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
):
    """Zeros where a unit is inactive, or with CHANGED where its bits in the two masks differ."""
    program = tl.program_id(0).to(tl.int64)
    entry_ptr = find_entry(entries_ptr, tensors, program, STEPS)
    data_ptr = tl.load(entry_ptr).to(tl.pointer_type(ELEMENT))
    elements = tl.load(entry_ptr + 1)
    row_ptr = layout_ptr + tl.load(entry_ptr + 2) * LAYER
    start = (program - tl.load(entry_ptr + 3)) * BLOCK
    first_word = tl.load(row_ptr + 3)
    unit_size = tl.load(row_ptr + 1)
    inner = tl.load(row_ptr + 2)
    words_ptr += first_word
    previous_ptr += first_word
    for tile in range(BLOCK // TILE):
        at = start + tile * TILE
        bits = element_bits(words_ptr, previous_ptr, at, elements, unit_size, inner, CHANGED, TILE)
        offsets = element_offsets(at, TILE)
        chosen = (bits == (1 if CHANGED else 0)) & (offsets < elements)
        tl.store(data_ptr + offsets, tl.zeros([TILE // WORD, WORD], ELEMENT), mask=chosen)
