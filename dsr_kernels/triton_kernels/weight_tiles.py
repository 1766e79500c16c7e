"""Tiles of a masked weight, as the product kernels load them.

An element of a weight that is dense in memory lies at the same offset as its place in the mask's
order. So one offset serves the load, and by it the unit and its bit. A tile is loaded as a whole,
since a predicate an element would break the loads into single elements; a select then drops what
is inactive, inf and NaN too.
"""

from __future__ import annotations

import triton
import triton.language as tl

WORD = tl.constexpr(32)


@triton.jit
def active_tile(words_ptr, offsets, inside, unit_size, inner, GROUPED: tl.constexpr):
    """Whether each element of a tile is active, one mask word loaded an element."""
    unit = offsets
    if GROUPED:
        unit = offsets // (unit_size * inner) * inner + offsets % inner
    word = tl.load(words_ptr + (unit >> 5), mask=inside, other=0)
    return inside & (((word >> (unit & 31).to(tl.int32)) & 1) != 0)


@triton.jit
def active_strips(
    words_ptr, rows, inside, first, columns, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr
):
    """The same where a row is whole words: each word is loaded once and expanded by shifts.

    ``rows`` are offsets of the rows' first elements, ``first`` is the tile's first column.
    """
    strips: tl.constexpr = BLOCK_C // WORD
    place = first // WORD + tl.arange(0, strips)
    words_inside = inside[:, None] & (place * WORD < columns)[None, :]
    word = tl.load(words_ptr + (rows // WORD)[:, None] + place[None, :], mask=words_inside, other=0)
    bits = (word[:, :, None] >> tl.arange(0, WORD)[None, None, :]) & 1
    return tl.reshape(bits, [BLOCK_R, BLOCK_C]) != 0


@triton.jit
def weight_tile(
    weight_ptr,
    words_ptr,
    base,
    row,
    column,
    first,
    rows,
    columns,
    stride_r,
    stride_c,
    unit_size,
    inner,
    BLOCK_R: tl.constexpr,
    BLOCK_C: tl.constexpr,
    MASKED: tl.constexpr,
    GROUPED: tl.constexpr,
    STRIPS: tl.constexpr,
    OFFSET: tl.constexpr,
):
    """The elements (row, column) of a matrix in a weight, 0 where inactive or outside.

    ``base`` is the offset of the matrix's first element.
    ``first`` is the first of the columns, of use to STRIPS alone: then they are consecutive.
    OFFSET is int64 only where int32 cannot hold every offset: wide divisions spill registers.
    """
    start = base + row.to(OFFSET) * stride_r
    offsets = start[:, None] + (column.to(OFFSET) * stride_c)[None, :]
    inside = (row < rows)[:, None] & (column < columns)[None, :]
    weight = tl.load(weight_ptr + offsets, mask=inside, other=0.0)
    if MASKED:
        if STRIPS:
            keep = active_strips(words_ptr, start, row < rows, first, columns, BLOCK_R, BLOCK_C)
        else:
            keep = active_tile(words_ptr, offsets, inside, unit_size, inner, GROUPED)
        weight = tl.where(keep, weight, 0.0)
    return weight


@triton.jit
def operand(
    weight_ptr, words_ptr, base, out, column, first_out, first_in, outs, ins, stride_wo, stride_wi,
    unit_size, inner, BLOCK_O: tl.constexpr, BLOCK_I: tl.constexpr, TURNED: tl.constexpr,
    MASKED: tl.constexpr, GROUPED: tl.constexpr, STRIPS: tl.constexpr, OFFSET: tl.constexpr,
):  # fmt: skip
    """The weight [BLOCK_I, BLOCK_O] that a product multiplies by.

    TURNED: rows of the weight in memory are ins; else they are outs and the tile is transposed.
    """
    if TURNED:
        tile = weight_tile(
            weight_ptr, words_ptr, base, column, out, first_out, ins, outs, stride_wi, stride_wo,
            unit_size, inner, BLOCK_I, BLOCK_O, MASKED, GROUPED, STRIPS, OFFSET,
        )  # fmt: skip
    else:
        tile = weight_tile(
            weight_ptr, words_ptr, base, out, column, first_in, outs, ins, stride_wo, stride_wi,
            unit_size, inner, BLOCK_O, BLOCK_I, MASKED, GROUPED, STRIPS, OFFSET,
        )  # fmt: skip
        tile = tl.trans(tile)
    return tile


@triton.jit
def program_tile(program, rows, columns, GROUP: tl.constexpr):
    """The tile of a program, in an order that keeps what neighbours read in the cache."""
    span = GROUP * columns
    first = program // span * GROUP
    height = tl.minimum(rows - first, GROUP)
    return first + program % span % height, program % span // height
