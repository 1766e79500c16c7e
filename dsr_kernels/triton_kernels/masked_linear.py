"""masked_linear in Triton: y = x W^T, dx = g W and dW = g^T x, the mask applied to tiles of W.

A program computes one tile of its result in float32 and sums over the third size in steps. W is
never copied: its mask words are expanded in registers and predicate its loads. Each element of a
result is written by one program and summed in a fixed order. With tile lists (``tile_lists.py``)
the sum runs over the tiles of W that have an active weight, and rows and columns without one
come last.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from dsr_kernels.products import as_rows
from dsr_kernels.triton_kernels.product_tuning import (
    add_parts,
    offset_type,
    precision,
    split_rows,
    takes_registers,
    tiles,
)
from dsr_kernels.triton_kernels.tile_lists import lists_of
from dsr_kernels.triton_kernels.weight_tiles import active_tile, operand, program_tile


@triton.jit
def masked_linear_kernel(
    x_ptr, weight_ptr, words_ptr, bias_ptr, y_ptr,
    list_ptr, count_ptr, out_order_ptr, in_order_ptr,
    rows, outs, ins, stride_xr, stride_xi, stride_wo, stride_wi, stride_yr, stride_yo,
    unit_size, inner,
    BIAS: tl.constexpr, TURNED: tl.constexpr, MASKED: tl.constexpr, GROUPED: tl.constexpr,
    STRIPS: tl.constexpr, LISTED: tl.constexpr, ORDERED: tl.constexpr, PRECISION: tl.constexpr,
    OFFSET: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_I: tl.constexpr,
):  # fmt: skip
    """y[r, o] = sum over i of x[r, i] W[o, i]; TURNED: W[i, o], which is dx from g."""
    blocks_r, blocks_o = tl.cdiv(rows, BLOCK_R), tl.cdiv(outs, BLOCK_O)
    block_r, block_o = program_tile(tl.program_id(0), blocks_r, blocks_o, 8)
    row = block_r * BLOCK_R + tl.arange(0, BLOCK_R)
    out = block_o * BLOCK_O + tl.arange(0, BLOCK_O)
    out_inside = out < outs
    if ORDERED:
        out = tl.load(out_order_ptr + out, mask=out_inside, other=outs)
    x_row_ptr = x_ptr + row.to(tl.int64)[:, None] * stride_xr
    steps = tl.cdiv(ins, BLOCK_I)
    if LISTED:
        steps = tl.load(count_ptr + block_o)
    total = tl.zeros([BLOCK_R, BLOCK_O], tl.float32)
    for step in range(0, steps):
        first = step * BLOCK_I
        if LISTED:
            first = tl.load(list_ptr + block_o * tl.cdiv(ins, BLOCK_I) + step) * BLOCK_I
        column = first + tl.arange(0, BLOCK_I)
        if ORDERED:
            column = tl.load(in_order_ptr + column, mask=column < ins, other=ins)
        x_inside = (row < rows)[:, None] & (column < ins)[None, :]
        x = tl.load(
            x_row_ptr + (column.to(tl.int64) * stride_xi)[None, :], mask=x_inside, other=0.0
        )
        w = operand(
            weight_ptr, words_ptr, 0, out, column, block_o * BLOCK_O, first, outs, ins, stride_wo,
            stride_wi, unit_size, inner, BLOCK_O, BLOCK_I, TURNED, MASKED, GROUPED, STRIPS, OFFSET,
        )  # fmt: skip
        total = tl.dot(x, w, total, input_precision=PRECISION)
    if BIAS:
        total += tl.load(bias_ptr + out, mask=out_inside, other=0.0).to(tl.float32)[None, :]
    y_ptrs = y_ptr + row.to(tl.int64)[:, None] * stride_yr + out.to(tl.int64)[None, :] * stride_yo
    inside = (row < rows)[:, None] & out_inside[None, :]
    tl.store(y_ptrs, total.to(y_ptr.dtype.element_ty), mask=inside)


@triton.jit
def masked_linear_grad_weight_kernel(
    grad_ptr, x_ptr, words_ptr, result_ptr, occupied_ptr, out_order_ptr, in_order_ptr,
    rows, outs, ins, stride_gr, stride_go, stride_xr, stride_xi, stride_wo, stride_wi,
    part_rows, part_elements, unit_size, inner,
    GROUPED: tl.constexpr, LISTED: tl.constexpr, ORDERED: tl.constexpr, PRECISION: tl.constexpr,
    OFFSET: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_I: tl.constexpr,
):  # fmt: skip
    """dW[o, i] = sum over r of g[r, o] x[r, i] where active; a part sums over ``part_rows``."""
    blocks_o, blocks_i = tl.cdiv(outs, BLOCK_O), tl.cdiv(ins, BLOCK_I)
    part = tl.program_id(0) // (blocks_o * blocks_i)
    block_o, block_i = program_tile(tl.program_id(0) % (blocks_o * blocks_i), blocks_o, blocks_i, 8)
    out = block_o * BLOCK_O + tl.arange(0, BLOCK_O)
    column = block_i * BLOCK_I + tl.arange(0, BLOCK_I)
    if ORDERED:
        out = tl.load(out_order_ptr + out, mask=out < outs, other=outs)
        column = tl.load(in_order_ptr + column, mask=column < ins, other=ins)
    g_column_ptr = grad_ptr + (out.to(tl.int64) * stride_go)[:, None]
    x_column_ptr = x_ptr + (column.to(tl.int64) * stride_xi)[None, :]
    begin = part * part_rows
    end = tl.minimum(begin + part_rows, rows)
    if LISTED:
        occupied = tl.load(occupied_ptr + block_o * blocks_i + block_i) != 0
        end = tl.where(occupied, end, begin)
    total = tl.zeros([BLOCK_O, BLOCK_I], tl.float32)
    for first in range(begin, end, BLOCK_R):
        row = (first + tl.arange(0, BLOCK_R)).to(tl.int64)
        g_inside = (out < outs)[:, None] & (row < end)[None, :]
        g = tl.load(g_column_ptr + (row * stride_gr)[None, :], mask=g_inside, other=0.0)
        x_inside = (row < end)[:, None] & (column < ins)[None, :]
        x = tl.load(x_column_ptr + (row * stride_xr)[:, None], mask=x_inside, other=0.0)
        total = tl.dot(g, x, total, input_precision=PRECISION)
    offsets = (out.to(OFFSET) * stride_wo)[:, None] + (column.to(OFFSET) * stride_wi)[None, :]
    inside = (out < outs)[:, None] & (column < ins)[None, :]
    active = active_tile(words_ptr, offsets, inside, unit_size, inner, GROUPED)
    total = tl.where(active, total, 0.0).to(result_ptr.dtype.element_ty)
    tl.store(result_ptr + part.to(tl.int64) * part_elements + offsets, total, mask=inside)


def masked_linear(
    x: Tensor,
    weight: Tensor,
    words: Tensor,
    bias: Tensor | None,
    units: Sequence[int],
    weight_is_masked: bool,
    structure: str,
) -> Tensor:
    y = x.new_empty(*x.shape[:-1], weight.shape[0])
    _multiply(x, weight, words, bias, y, units, weight_is_masked, structure)
    return y


def masked_linear_grad_input(
    grad: Tensor,
    weight: Tensor,
    words: Tensor,
    units: Sequence[int],
    weight_is_masked: bool,
    structure: str,
) -> Tensor:
    grad_x = grad.new_empty(*grad.shape[:-1], weight.shape[1])
    _multiply(grad, weight.t(), words, None, grad_x, units, weight_is_masked, structure, True)
    return grad_x


def _multiply(
    x: Tensor,
    weight: Tensor,
    words: Tensor,
    bias: Tensor | None,
    y: Tensor,
    units: Sequence[int],
    weight_is_masked: bool,
    structure: str,
    turned: bool = False,
) -> None:
    """y = x weight^T + bias; ``turned``: the weight is given transposed."""
    if y.numel() == 0:
        return
    x, y = as_rows(x), as_rows(y)
    (rows, ins), outs = x.shape, weight.shape[0]
    block = tiles(x.dtype, gathered=takes_registers(units, structure))
    lists = lists_of(weight, words, units, structure, (block.columns, block.depth))
    consecutive = weight.stride(0 if turned else 1) == 1
    whole_words = weight.stride(1 if turned else 0) % 32 == 0
    grid = triton.cdiv(rows, block.rows) * triton.cdiv(outs, block.columns)
    with torch.cuda.device_of(x):
        masked_linear_kernel[(grid,)](
            x, weight, words, bias, y, *lists.pointers,
            rows, outs, ins, *x.stride(), *weight.stride(), *y.stride(),
            units[1], units[2],
            BIAS=bias is not None, TURNED=turned, MASKED=not weight_is_masked,
            GROUPED=units[1] > 1,
            STRIPS=units[1] == 1 and consecutive and whole_words and not lists.ordered,
            LISTED=lists.listed, ORDERED=lists.ordered,
            PRECISION=precision(x.dtype, torch.backends.cuda.matmul), OFFSET=offset_type(units),
            BLOCK_R=block.rows, BLOCK_O=block.columns, BLOCK_I=block.depth, **block.options,
        )  # fmt: skip


def masked_linear_grad_weight(
    grad: Tensor,
    x: Tensor,
    words: Tensor,
    units: Sequence[int],
    strides: Sequence[int],
    structure: str,
) -> Tensor:
    grad, x = as_rows(grad), as_rows(x)
    rows, outs, ins = len(x), grad.shape[1], x.shape[1]
    result = torch.empty_strided((outs, ins), tuple(strides), dtype=x.dtype, device=x.device)
    if result.numel() == 0:
        return result
    block = tiles(x.dtype, gathered=takes_registers(units, structure))
    programs = triton.cdiv(outs, block.rows) * triton.cdiv(ins, block.columns)
    parts, part_rows = split_rows(rows, programs, block.depth, block.parts)
    # Partial sums in float32, each in the weight's memory order, so that their sum is too.
    sums = result if parts == 1 else x.new_empty(parts, outs * ins, dtype=torch.float32)
    lists = lists_of(result, words, units, structure, (block.rows, block.columns))
    with torch.cuda.device_of(x):
        masked_linear_grad_weight_kernel[(programs * parts,)](
            grad, x, words, sums, lists.occupied, lists.out_order, lists.in_order,
            rows, outs, ins, *grad.stride(), *x.stride(), *strides, part_rows, outs * ins,
            units[1], units[2],
            GROUPED=units[1] > 1, LISTED=lists.listed, ORDERED=lists.ordered,
            PRECISION=precision(x.dtype, torch.backends.cuda.matmul), OFFSET=offset_type(units),
            BLOCK_R=block.depth, BLOCK_O=block.rows, BLOCK_I=block.columns, **block.options,
        )  # fmt: skip
    return add_parts(sums, result)
