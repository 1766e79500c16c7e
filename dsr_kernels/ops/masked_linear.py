"""masked_linear: a linear layer whose weight counts only where its mask is active."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dsr_kernels.mask import BitMask
from dsr_kernels.product_checks import (
    autocast,
    check_bias,
    check_hints,
    check_layer,
    check_operand,
    check_weight,
)
from dsr_kernels.products import as_rows, differentiable, gradient, register_product

OP = "masked_linear"


def masked_linear(
    x: Tensor,
    weight: Tensor,
    mask: BitMask,
    layer: int = 0,
    bias: Tensor | None = None,
    *,
    weight_is_masked: bool = False,
    structure: str = "unstructured",
) -> Tensor:
    """``x @ select(mask, weight, 0).T + bias``.

    The weight need not be zero under the mask: inf and NaN there reach neither the output nor a
    gradient. The gradient of the weight is +0.0 wherever it is inactive. There is no double
    backward.

    Args:
        x: [..., in], float32, bfloat16, float16 or float64. torch.autocast converts it and the
            weight as it does for ``torch.nn.functional.linear``.
        weight: [out, in], of the dtype of x, dense in memory; the mask's units follow its memory
            order.
        mask: the active units.
        layer: the weight's layer in the mask's layout.
        bias: [out], or None.
        weight_is_masked: the caller's word that the weight is 0 wherever it is inactive; saves a
            pass over the weight in each product.
        structure: what the caller knows of the zeros: "unstructured", "tiles" or "channels". A
            matter of speed alone: see :mod:`dsr_kernels.routes`.

    Returns:
        [..., out], contiguous.

    Raises:
        TypeError, ValueError: an argument is not as described.

    Example:
        >>> layout = SparseLayout.of_elements([6])
        >>> mask = BitMask.from_bools(layout, [torch.tensor([True, False] * 3)])
        >>> masked_linear(torch.ones(1, 3), torch.ones(2, 3), mask)
        tensor([[2., 1.]])
    """
    x, weight, bias = autocast(x, weight, bias)
    _check(x, weight, mask, layer, bias)
    check_hints(weight_is_masked, structure)
    shape = mask.layout.layers[layer]
    units = [shape.outer, shape.unit_size, shape.inner]
    words = mask.layer_words(layer)
    result: Tensor = _product(x, weight, words, bias, units, weight_is_masked, structure)
    return result


def _check(x: Any, weight: Any, mask: Any, layer: Any, bias: Any) -> None:
    check_layer(mask, layer)
    check_operand(x, "x")
    check_operand(weight, "weight", x)
    check_weight(weight, mask, layer, dims=2)
    if x.dim() < 1 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"x: expected {weight.shape[1]} as the last size, for weight {list(weight.shape)}, got "
            f"shape {list(x.shape)}"
        )
    check_bias(bias, weight.shape[0], x)


def _forward(
    x: Tensor,
    weight: Tensor,
    words: Tensor,
    bias: Tensor | None,
    units: Sequence[int],
    weight_is_masked: bool,
    structure: str,
) -> Tensor:
    return x.new_empty(*x.shape[:-1], weight.shape[0])


def _grad_input(
    grad: Tensor,
    weight: Tensor,
    words: Tensor,
    units: Sequence[int],
    weight_is_masked: bool,
    structure: str,
) -> Tensor:
    return grad.new_empty(*grad.shape[:-1], weight.shape[1])


def _grad_weight(
    grad: Tensor,
    x: Tensor,
    words: Tensor,
    units: Sequence[int],
    strides: Sequence[int],
    structure: str,
) -> Tensor:
    shape = (grad.shape[-1], x.shape[-1])
    return torch.empty_strided(shape, tuple(strides), dtype=x.dtype, device=x.device)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, words, _, ctx.units, ctx.weight_is_masked, ctx.structure = inputs
    for_x, for_weight = ctx.needs_input_grad[:2]
    ctx.strides = weight.stride()
    ctx.save_for_backward(x if for_weight else None, weight if for_x else None, words)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, words = ctx.saved_tensors
    grad_x = grad_weight = grad_bias = None
    if ctx.needs_input_grad[0]:
        grad_x = _input_gradient(
            grad, weight, words, ctx.units, ctx.weight_is_masked, ctx.structure
        )
    if ctx.needs_input_grad[1]:
        grad_weight = _weight_gradient(grad, x, words, ctx.units, ctx.strides, ctx.structure)
    if ctx.needs_input_grad[3]:
        grad_bias = as_rows(grad).sum(0)
    return grad_x, grad_weight, None, grad_bias, None, None, None


def _rows(x: Tensor) -> int:
    return x.numel() // max(x.shape[-1], 1)


def _sizes(first: Tensor, weight: Tensor, *rest: Any) -> tuple[int, Sequence[int], int]:
    return _rows(first), weight.shape, 1


def _sizes_of_grad_weight(grad: Tensor, x: Tensor, *rest: Any) -> tuple[int, Sequence[int], int]:
    return _rows(x), (grad.shape[-1], x.shape[-1]), 1


def _gradient(op: str, outputs: Any, sizes: Any) -> Any:
    return gradient(op, register_product(OP, op, outputs, sizes))


_input_gradient = _gradient(f"{OP}_grad_input", _grad_input, _sizes)
_weight_gradient = _gradient(f"{OP}_grad_weight", _grad_weight, _sizes_of_grad_weight)
_product = differentiable(OP, register_product(OP, OP, _forward, _sizes), _setup_context, _backward)
