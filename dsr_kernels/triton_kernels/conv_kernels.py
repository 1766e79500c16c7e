"""The kernels of masked_conv2d: output and both gradients as implicit matrix products.

Positions (image, height, width) are the rows of a matrix that is never made: each place of the
kernel ("tap") adds one product of shifted positions with a matrix [out, in] of the weight. W is
masked as in masked_linear. Each element of a result is written by one program and summed in a
fixed order. Any strides do; where channels lie side by side the loads are widest.
"""

from __future__ import annotations

import triton
import triton.language as tl

from dsr_kernels.triton_kernels.weight_tiles import active_tile, operand, program_tile


@triton.jit
def source(place, tap, step, pad, dilation, size, TURNED: tl.constexpr):
    """Along one dimension: which place of x a place of y reads by a tap, and whether there is it.

    TURNED: which place of the output a place of the input was read by.
    """
    if TURNED:
        far = place + pad - tap * dilation
        at = far // step
        hit = (far >= 0) & (at * step == far)
    else:
        at = place * step - pad + tap * dilation
        hit = at >= 0
    return at, hit & (at < size)


@triton.jit
def tap_offset(group, tap, kernel_w, stride_wg, stride_wh, stride_ww, OFFSET: tl.constexpr):
    """Where the matrix [out, in] of one tap of one group begins in the weight."""
    return (
        group.to(OFFSET) * stride_wg
        + (tap // kernel_w).to(OFFSET) * stride_wh
        + (tap % kernel_w).to(OFFSET) * stride_ww
    )


@triton.jit
def masked_conv2d_kernel(
    x_ptr, weight_ptr, words_ptr, bias_ptr, y_ptr,
    list_ptr, count_ptr, out_order_ptr, in_order_ptr,
    rows, outs, ins, taps, kernel_w, y_h, y_w, x_h, x_w,
    stride_xn, stride_xc, stride_xh, stride_xw, stride_yn, stride_yc, stride_yh, stride_yw,
    stride_wo, stride_wi, stride_wh, stride_ww, stride_wg, unit_size, inner,
    step_h, step_w, pad_h, pad_w, dilation_h, dilation_w,
    BIAS: tl.constexpr, TURNED: tl.constexpr, MASKED: tl.constexpr, GROUPED: tl.constexpr,
    STRIPS: tl.constexpr, LISTED: tl.constexpr, ORDERED: tl.constexpr, PRECISION: tl.constexpr,
    OFFSET: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_I: tl.constexpr,
):  # fmt: skip
    """y from x; TURNED: the gradient of the input, "y", from that of the output, "x"."""
    blocks_r, blocks_o, blocks_i = (
        tl.cdiv(rows, BLOCK_R), tl.cdiv(outs, BLOCK_O), tl.cdiv(ins, BLOCK_I)
    )  # fmt: skip
    group = tl.program_id(0) // (blocks_r * blocks_o)
    block_r, block_o = program_tile(tl.program_id(0) % (blocks_r * blocks_o), blocks_r, blocks_o, 8)
    row = block_r * BLOCK_R + tl.arange(0, BLOCK_R)
    image, place = (row // (y_h * y_w)).to(tl.int64), row % (y_h * y_w)
    height, width = place // y_w, place % y_w
    out = block_o * BLOCK_O + tl.arange(0, BLOCK_O)
    out_inside = out < outs
    if ORDERED:
        out = tl.load(out_order_ptr + out, mask=out_inside, other=outs)
    x_group_ptr = x_ptr + (group * ins).to(tl.int64) * stride_xc
    steps = taps * blocks_i
    if LISTED:
        steps = tl.load(count_ptr + block_o)
    total = tl.zeros([BLOCK_R, BLOCK_O], tl.float32)
    for number in range(0, steps):
        step = number
        if LISTED:
            step = tl.load(list_ptr + block_o * taps * blocks_i + number)
        tap = step // blocks_i
        first = step % blocks_i * BLOCK_I
        column = first + tl.arange(0, BLOCK_I)
        if ORDERED:
            column = tl.load(in_order_ptr + column, mask=column < ins, other=ins)
        at_h, hit_h = source(height, tap // kernel_w, step_h, pad_h, dilation_h, x_h, TURNED)
        at_w, hit_w = source(width, tap % kernel_w, step_w, pad_w, dilation_w, x_w, TURNED)
        hit = hit_h & hit_w & (row < rows)
        x_rows = image * stride_xn + at_h.to(tl.int64) * stride_xh + at_w.to(tl.int64) * stride_xw
        x = tl.load(
            x_group_ptr + x_rows[:, None] + (column.to(tl.int64) * stride_xc)[None, :],
            mask=hit[:, None] & (column < ins)[None, :], other=0.0,
        )  # fmt: skip
        base = tap_offset(group, tap, kernel_w, stride_wg, stride_wh, stride_ww, OFFSET)
        w = operand(
            weight_ptr, words_ptr, base, out, column, block_o * BLOCK_O, first, outs, ins,
            stride_wo, stride_wi, unit_size, inner, BLOCK_O, BLOCK_I,
            TURNED, MASKED, GROUPED, STRIPS, OFFSET,
        )  # fmt: skip
        total = tl.dot(x, w, total, input_precision=PRECISION)
    channel = group * outs + out
    if BIAS:
        total += tl.load(bias_ptr + channel, mask=out_inside, other=0.0).to(tl.float32)[None, :]
    y_rows = image * stride_yn + height.to(tl.int64) * stride_yh + width.to(tl.int64) * stride_yw
    y_ptrs = y_ptr + y_rows[:, None] + (channel.to(tl.int64) * stride_yc)[None, :]
    inside = (row < rows)[:, None] & out_inside[None, :]
    tl.store(y_ptrs, total.to(y_ptr.dtype.element_ty), mask=inside)


@triton.jit
def masked_conv2d_grad_weight_kernel(
    grad_ptr, x_ptr, words_ptr, result_ptr, occupied_ptr, out_order_ptr, in_order_ptr,
    rows, outs, ins, taps, kernel_w, y_h, y_w, x_h, x_w,
    stride_gn, stride_gc, stride_gh, stride_gw, stride_xn, stride_xc, stride_xh, stride_xw,
    stride_wo, stride_wi, stride_wh, stride_ww, stride_wg, unit_size, inner,
    step_h, step_w, pad_h, pad_w, dilation_h, dilation_w, groups, part_rows, part_elements,
    GROUPED: tl.constexpr, LISTED: tl.constexpr, ORDERED: tl.constexpr, PRECISION: tl.constexpr,
    OFFSET: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_I: tl.constexpr,
):  # fmt: skip
    """One tile [out, in] of one tap of the weight's gradient, over ``part_rows`` positions."""
    blocks_o, blocks_i = tl.cdiv(outs, BLOCK_O), tl.cdiv(ins, BLOCK_I)
    tile = tl.program_id(0) % (blocks_o * blocks_i)
    above = tl.program_id(0) // (blocks_o * blocks_i)
    tap, group, part = above % taps, above // taps % groups, above // taps // groups
    block_o, block_i = tile // blocks_i, tile % blocks_i
    out = block_o * BLOCK_O + tl.arange(0, BLOCK_O)
    column = block_i * BLOCK_I + tl.arange(0, BLOCK_I)
    if ORDERED:
        out = tl.load(out_order_ptr + out, mask=out < outs, other=outs)
        column = tl.load(in_order_ptr + column, mask=column < ins, other=ins)
    g_column_ptr = grad_ptr + ((group * outs + out).to(tl.int64) * stride_gc)[:, None]
    x_column_ptr = x_ptr + ((group * ins + column).to(tl.int64) * stride_xc)[None, :]
    begin = part * part_rows
    end = tl.minimum(begin + part_rows, rows)
    if LISTED:
        occupied = tl.load(occupied_ptr + (block_o * taps + tap) * blocks_i + block_i) != 0
        end = tl.where(occupied, end, begin)
    total = tl.zeros([BLOCK_O, BLOCK_I], tl.float32)
    for first in range(begin, end, BLOCK_R):
        row = first + tl.arange(0, BLOCK_R)
        image, place = (row // (y_h * y_w)).to(tl.int64), row % (y_h * y_w)
        height, width = place // y_w, place % y_w
        g_rows = image * stride_gn + height.to(tl.int64) * stride_gh + width * stride_gw
        g_inside = (out < outs)[:, None] & (row < end)[None, :]
        g = tl.load(g_column_ptr + g_rows[None, :], mask=g_inside, other=0.0)
        at_h, hit_h = source(height, tap // kernel_w, step_h, pad_h, dilation_h, x_h, False)
        at_w, hit_w = source(width, tap % kernel_w, step_w, pad_w, dilation_w, x_w, False)
        hit = hit_h & hit_w & (row < end)
        x_rows = image * stride_xn + at_h.to(tl.int64) * stride_xh + at_w.to(tl.int64) * stride_xw
        x_inside = hit[:, None] & (column < ins)[None, :]
        x = tl.load(x_column_ptr + x_rows[:, None], mask=x_inside, other=0.0)
        total = tl.dot(g, x, total, input_precision=PRECISION)
    base = tap_offset(group, tap, kernel_w, stride_wg, stride_wh, stride_ww, OFFSET)
    offsets = (
        base + (out.to(OFFSET) * stride_wo)[:, None] + (column.to(OFFSET) * stride_wi)[None, :]
    )
    inside = (out < outs)[:, None] & (column < ins)[None, :]
    active = active_tile(words_ptr, offsets, inside, unit_size, inner, GROUPED)
    total = tl.where(active, total, 0.0).to(result_ptr.dtype.element_ty)
    tl.store(result_ptr + part.to(tl.int64) * part_elements + offsets, total, mask=inside)
