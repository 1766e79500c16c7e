"""masked_conv2d: a 2-D convolution whose weight counts only where its mask is active."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dsr_kernels.conv_geometry import (
    Geometry,
    format_of,
    geometry,
    is_channels_last,
    output_size,
)
from dsr_kernels.mask import BitMask
from dsr_kernels.product_checks import (
    autocast,
    check_bias,
    check_hints,
    check_layer,
    check_operand,
    check_weight,
)
from dsr_kernels.products import differentiable, gradient, register_product

OP = "masked_conv2d"


def masked_conv2d(
    x: Tensor,
    weight: Tensor,
    mask: BitMask,
    layer: int = 0,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    *,
    weight_is_masked: bool = False,
    structure: str = "unstructured",
) -> Tensor:
    """``conv2d(x, select(mask, weight, 0), bias, stride, padding, dilation, groups)``.

    The weight need not be zero under the mask: inf and NaN there reach neither the output nor a
    gradient. The gradient of the weight is +0.0 wherever it is inactive. There is no double
    backward. Tensors may be contiguous or channels_last; neither is copied into the other.

    Args:
        x: [batch, in, height, width] or [in, height, width], float32, bfloat16, float16 or
            float64. torch.autocast converts it and the weight as it does for ``conv2d``.
        weight: [out, in / groups, height, width], of the dtype of x, dense in memory; the mask's
            units follow its memory order.
        mask: the active units.
        layer: the weight's layer in the mask's layout.
        bias: [out], or None.
        stride, dilation: an int, or a pair for height and width.
        padding: zeros on each side: an int, a pair, "valid" (none) or "same" (as many as keep the
            size; stride 1 only).
        groups: of channels that see only each other.
        weight_is_masked: the caller's word that the weight is 0 wherever it is inactive; saves a
            pass over the weight in each product.
        structure: what the caller knows of the zeros: "unstructured", "tiles" or "channels". A
            matter of speed alone: see :mod:`dsr_kernels.routes`.

    Returns:
        [batch, out, height, width] or [out, height, width]: channels_last if x or weight is.

    Raises:
        TypeError, ValueError: an argument is not as described.

    Example:
        >>> layout = SparseLayout((LayerShape(2, 9),))  # a unit is a 3 x 3 slice
        >>> mask = BitMask.from_bools(layout, [torch.tensor([True, False])])
        >>> masked_conv2d(torch.ones(1, 1, 3, 3), torch.ones(2, 1, 3, 3), mask).flatten()
        tensor([9., 0.])
    """
    x, weight, bias = autocast(x, weight, bias)
    check_layer(mask, layer)
    check_operand(x, "x")
    check_operand(weight, "weight", x)
    check_weight(weight, mask, layer, dims=4)
    if x.dim() not in (3, 4):
        raise ValueError(f"x: expected 3 or 4 dimensions, got shape {list(x.shape)}")
    check_bias(bias, weight.shape[0], x)
    check_hints(weight_is_masked, structure)
    batched = x if x.dim() == 4 else x.unsqueeze(0)
    padded, place = geometry(batched, weight, stride, padding, dilation, groups)
    shape = mask.layout.layers[layer]
    result: Tensor = _product(
        padded,
        weight,
        mask.layer_words(layer),
        bias,
        [shape.outer, shape.unit_size, shape.inner],
        *place,
        weight_is_masked,
        structure,
    )
    return result if x.dim() == 4 else result.squeeze(0)


def _forward(
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
    height, width = output_size(_two(x.shape[2:]), _two(weight.shape[2:]), place)
    return torch.empty(
        (x.shape[0], weight.shape[0], height, width),
        dtype=x.dtype,
        device=x.device,
        memory_format=format_of(x, weight),
    )


def _grad_input(
    grad: Tensor,
    weight: Tensor,
    words: Tensor,
    units: Sequence[int],
    size: Sequence[int],
    channels_last: bool,
    *rest: Any,
) -> Tensor:
    order = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty(tuple(size), dtype=grad.dtype, device=grad.device, memory_format=order)


def _grad_weight(
    grad: Tensor,
    x: Tensor,
    words: Tensor,
    units: Sequence[int],
    size: Sequence[int],
    strides: Sequence[int],
    *rest: Any,
) -> Tensor:
    return torch.empty_strided(tuple(size), tuple(strides), dtype=x.dtype, device=x.device)


def _grads(grad: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    order = torch.channels_last if is_channels_last(x) else torch.contiguous_format
    grad_x = torch.empty(tuple(x.shape), dtype=x.dtype, device=x.device, memory_format=order)
    return grad_x, torch.empty_like(weight)


def _two(values: Sequence[int]) -> tuple[int, int]:
    return values[0], values[1]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, words, _, ctx.units, *ctx.place, ctx.weight_is_masked, ctx.structure = inputs
    for_x, for_weight = ctx.needs_input_grad[:2]
    ctx.x_size, ctx.channels_last = x.shape, is_channels_last(x)
    ctx.size, ctx.strides = weight.shape, weight.stride()
    ctx.save_for_backward(x if for_weight else None, weight if for_x else None, words)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, words = ctx.saved_tensors
    grad_x = grad_weight = grad_bias = None
    hints = ctx.weight_is_masked, ctx.structure
    if all(ctx.needs_input_grad[:2]):
        grad_x, grad_weight = _both(grad, x, weight, words, ctx.units, *ctx.place, *hints)
    elif ctx.needs_input_grad[0]:
        grad_x = _input_gradient(
            grad,
            weight,
            words,
            ctx.units,
            ctx.x_size,
            ctx.channels_last,
            *ctx.place,
            *hints,
        )
    elif ctx.needs_input_grad[1]:
        grad_weight = _weight_gradient(
            grad, x, words, ctx.units, ctx.size, ctx.strides, *ctx.place, ctx.structure
        )
    if ctx.needs_input_grad[3]:
        grad_bias = grad.sum((0, 2, 3))
    return grad_x, grad_weight, None, grad_bias, *(None,) * 7


def _sizes(*args: Any) -> tuple[int, Sequence[int], int]:
    x, weight, stride, padding, dilation, groups = *args[:2], *args[5:9]
    place = Geometry(_two(stride), _two(padding), _two(dilation), groups)
    height, width = output_size(_two(x.shape[2:]), _two(weight.shape[2:]), place)
    return x.shape[0] * height * width, weight.shape, max(stride)


def _positions(grad: Tensor) -> int:
    return grad.numel() // max(grad.shape[1], 1)


def _sizes_of_grad_input(
    grad: Tensor, weight: Tensor, *rest: Any
) -> tuple[int, Sequence[int], int]:
    return _positions(grad), weight.shape, max(rest[4])


def _sizes_of_grad_weight(
    grad: Tensor, x: Tensor, words: Tensor, units: Sequence[int], size: Sequence[int], *rest: Any
) -> tuple[int, Sequence[int], int]:
    return _positions(grad), size, max(rest[1])


def _sizes_of_grads(
    grad: Tensor, x: Tensor, weight: Tensor, words: Tensor, units: Sequence[int], *rest: Any
) -> tuple[int, Sequence[int], int]:
    return _positions(grad), weight.shape, max(rest[0])


def _gradient(op: str, outputs: Any, sizes: Any) -> Any:
    return gradient(op, register_product(OP, op, outputs, sizes))


_input_gradient = _gradient(f"{OP}_grad_input", _grad_input, _sizes_of_grad_input)
_weight_gradient = _gradient(f"{OP}_grad_weight", _grad_weight, _sizes_of_grad_weight)
_both = _gradient(f"{OP}_grads", _grads, _sizes_of_grads)
_product = differentiable(OP, register_product(OP, OP, _forward, _sizes), _setup_context, _backward)
