"""masked_conv2d in Triton: the launches of ``conv_kernels.py``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import triton
from torch import Tensor

from dsr_kernels.conv_geometry import Geometry, both_gradients, format_of, output_size
from dsr_kernels.triton_kernels.conv_kernels import (
    masked_conv2d_grad_weight_kernel,
    masked_conv2d_kernel,
)
from dsr_kernels.triton_kernels.product_tuning import (
    add_parts,
    offset_type,
    precision,
    split_rows,
    takes_registers,
    tiles,
)
from dsr_kernels.triton_kernels.tile_lists import lists_of

# Its fp32_precision is the flag for convolutions; torch's annotations do not know it.
CONVOLUTIONS = getattr(torch.backends.cudnn, "conv", None)
MOST_POSITIONS = 2**31 - 2**16


def masked_conv2d(
    x: Tensor,
    weight: Tensor,
    words: Tensor,
    bias: Tensor | None,
    units: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    weight_is_masked: bool,
    structure: str,
) -> Tensor:
    place = Geometry(_two(stride), _two(padding), _two(dilation), groups)
    size = output_size(_two(x.shape[2:]), _two(weight.shape[2:]), place)
    y = torch.empty(
        (x.shape[0], weight.shape[0], *size),
        dtype=x.dtype,
        device=x.device,
        memory_format=format_of(x, weight),
    )
    _multiply(x, weight, words, bias, y, units, place, weight_is_masked, structure, False)
    return y


def masked_conv2d_grad_input(
    grad: Tensor,
    weight: Tensor,
    words: Tensor,
    units: Sequence[int],
    size: Sequence[int],
    channels_last: bool,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    weight_is_masked: bool,
    structure: str,
) -> Tensor:
    order = torch.channels_last if channels_last else torch.contiguous_format
    result = torch.empty(tuple(size), dtype=grad.dtype, device=grad.device, memory_format=order)
    place = Geometry(_two(stride), _two(padding), _two(dilation), groups)
    _multiply(grad, weight, words, None, result, units, place, weight_is_masked, structure, True)
    return result


def _multiply(
    x: Tensor,
    weight: Tensor,
    words: Tensor,
    bias: Tensor | None,
    y: Tensor,
    units: Sequence[int],
    place: Geometry,
    weight_is_masked: bool,
    structure: str,
    turned: bool,
) -> None:
    """Fills y from x, or turned the gradient of the input, y, from that of the output, x."""
    if y.numel() == 0:
        return
    block = tiles(x.dtype, gathered=takes_registers(units, structure), convolution=True)
    matrix = weight.transpose(0, 1) if turned else weight
    outs, ins = y.shape[1] // place.groups, x.shape[1] // place.groups
    rows = _positions(y)
    # Tiles of several groups would overlap: with groups every tile is taken.
    structure = structure if place.groups == 1 else "unstructured"
    lists = lists_of(matrix, words, units, structure, (block.columns, block.depth))
    side_by_side = weight.stride(1) == 1 and weight.shape[1] % 32 == 0
    programs = place.groups * triton.cdiv(rows, block.rows) * triton.cdiv(outs, block.columns)
    with torch.cuda.device_of(x):
        masked_conv2d_kernel[(programs,)](
            x, weight, words, bias, y, *lists.pointers,
            rows, outs, ins, math.prod(weight.shape[2:]), weight.shape[3],
            *y.shape[2:], *x.shape[2:], *x.stride(), *y.stride(),
            *matrix.stride(), weight.shape[0] // place.groups * weight.stride(0),
            *units[1:], *place.stride, *place.padding, *place.dilation,
            BIAS=bias is not None, TURNED=turned, MASKED=not weight_is_masked,
            GROUPED=units[1] > 1, STRIPS=units[1] == 1 and side_by_side and not lists.ordered,
            LISTED=lists.listed, ORDERED=lists.ordered,
            PRECISION=precision(x.dtype, CONVOLUTIONS), OFFSET=offset_type(units),
            BLOCK_R=block.rows, BLOCK_O=block.columns, BLOCK_I=block.depth, **block.options,
        )  # fmt: skip


def masked_conv2d_grad_weight(
    grad: Tensor,
    x: Tensor,
    words: Tensor,
    units: Sequence[int],
    size: Sequence[int],
    strides: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    structure: str,
) -> Tensor:
    result = torch.empty_strided(tuple(size), tuple(strides), dtype=x.dtype, device=x.device)
    if result.numel() == 0:
        return result
    place = Geometry(_two(stride), _two(padding), _two(dilation), groups)
    block = tiles(x.dtype, gathered=takes_registers(units, structure), convolution=True)
    outs, ins, taps = size[0] // groups, size[1], size[2] * size[3]
    rows = _positions(grad)
    programs = triton.cdiv(outs, block.rows) * triton.cdiv(ins, block.columns) * groups * taps
    parts, part_rows = split_rows(rows, programs, block.depth, block.parts)
    # Partial sums in float32, each in the weight's memory order, so that their sum is too.
    sums = result
    if parts > 1:
        sums = x.new_empty(parts, result.numel(), dtype=torch.float32)
    structure = structure if groups == 1 else "unstructured"
    lists = lists_of(result, words, units, structure, (block.rows, block.columns))
    with torch.cuda.device_of(x):
        masked_conv2d_grad_weight_kernel[(programs * parts,)](
            grad, x, words, sums, lists.occupied, lists.out_order, lists.in_order,
            rows, outs, ins, taps, size[3], *grad.shape[2:], *x.shape[2:],
            *grad.stride(), *x.stride(), *strides, outs * strides[0], *units[1:],
            *place.stride, *place.padding, *place.dilation, groups, part_rows, result.numel(),
            GROUPED=units[1] > 1, LISTED=lists.listed, ORDERED=lists.ordered,
            PRECISION=precision(x.dtype, CONVOLUTIONS), OFFSET=offset_type(units),
            BLOCK_R=block.depth, BLOCK_O=block.rows, BLOCK_I=block.columns, **block.options,
        )  # fmt: skip
    return add_parts(sums, result)


masked_conv2d_grads = both_gradients(masked_conv2d_grad_input, masked_conv2d_grad_weight)


def _positions(y: Tensor) -> int:
    """Images times height times width; a program counts them in 32 bits."""
    count = y.shape[0] * y.shape[2] * y.shape[3]
    if count >= MOST_POSITIONS:
        raise ValueError(
            f"x: expected fewer than {MOST_POSITIONS} positions (images x height x width) in "
            f"input and output, got {count}; split the batch"
        )
    return count


def _two(values: Sequence[int]) -> tuple[int, int]:
    return values[0], values[1]
