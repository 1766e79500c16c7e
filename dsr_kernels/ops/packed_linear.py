"""packed_linear: a linear layer whose weight is stored as its active values alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from dsr_kernels.dispatch import register
from dsr_kernels.mask import BitMask
from dsr_kernels.product_checks import (
    autocast,
    check_bias,
    check_layer,
    check_operand,
    check_packed,
)
from dsr_kernels.products import as_rows, differentiable, gradient, refuse_double_backward

OP = "packed_linear"


def packed_linear(
    x: Tensor,
    values: Tensor,
    ranks: Tensor,
    mask: BitMask,
    layer: int = 0,
    bias: Tensor | None = None,
    *,
    outs: int,
) -> Tensor:
    """``x @ unpack(values).view(outs, -1).T + bias``.

    The dense weight exists only while a product reads it: backward keeps x and the packed weight,
    and the gradient is that of the values. There is no double backward.

    Args:
        x: [..., in], float32, bfloat16, float16 or float64.
        values, ranks: as ``pack`` returned them, of the dtype of x.
        mask: the active units, unchanged since.
        layer: the number of the layer in the mask's layout.
        bias: [outs], or None.
        outs: rows of the weight [outs, in], which is contiguous when unpacked.

    Returns:
        [..., outs], contiguous.

    Raises:
        TypeError, ValueError: an argument is not as described; ranks as for ``unpack``.

    Example:
        >>> values, ranks = pack(weight, mask)
        >>> y = packed_linear(x, values, ranks, mask, outs=len(weight))
    """
    x, values, bias = autocast(x, values, bias)
    check_layer(mask, layer)
    check_operand(x, "x")
    check_packed(values, ranks, mask, layer)
    check_operand(values, "values", x)
    shape = mask.layout.layers[layer]
    if not isinstance(outs, int) or isinstance(outs, bool):
        raise TypeError(f"outs: expected an int, got {type(outs).__name__}")
    if x.dim() < 1 or outs < 0 or outs * x.shape[-1] != shape.elements:
        raise ValueError(
            f"x: expected a last size that gives {shape.elements} weights (layer {layer}) with "
            f"outs {outs}, got shape {list(x.shape)}"
        )
    check_bias(bias, outs, x)
    units = [shape.outer, shape.unit_size, shape.inner]
    result: Tensor = _product(x, values, ranks, mask.layer_words(layer), bias, units, outs)
    return result


def _forward(
    x: Tensor,
    values: Tensor,
    ranks: Tensor,
    words: Tensor,
    bias: Tensor | None,
    units: Sequence[int],
    outs: int,
) -> Tensor:
    return x.new_empty(*x.shape[:-1], outs)


def _grad_input(
    grad: Tensor, values: Tensor, ranks: Tensor, words: Tensor, units: Sequence[int], ins: int
) -> Tensor:
    return grad.new_empty(*grad.shape[:-1], ins)


def _grad_values(
    grad: Tensor, x: Tensor, words: Tensor, units: Sequence[int], active: int
) -> Tensor:
    return x.new_empty(active * units[1])


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, values, ranks, words, _, ctx.units, _ = inputs
    for_x, for_values = ctx.needs_input_grad[:2]
    ctx.ins, ctx.active = x.shape[-1], values.numel() // ctx.units[1]
    ctx.save_for_backward(
        x if for_values else None, values if for_x else None, ranks if for_x else None, words
    )


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, values, ranks, words = ctx.saved_tensors
    grad_x = grad_values = grad_bias = None
    if ctx.needs_input_grad[0]:
        grad_x = _input_gradient(grad, values, ranks, words, ctx.units, ctx.ins)
    if ctx.needs_input_grad[1]:
        grad_values = _values_gradient(grad, x, words, ctx.units, ctx.active)
    if ctx.needs_input_grad[4]:
        grad_bias = as_rows(grad).sum(0)
    return grad_x, grad_values, None, None, grad_bias, None, None


def _mutates(*args: Any) -> Sequence[Tensor]:
    return ()


def _prefers(*args: Any) -> Sequence[str]:
    return ("library",)


def _gradient(op: str, outputs: Any) -> Any:
    run = register(op, outputs=outputs, mutates=_mutates, prefers=_prefers)
    refuse_double_backward(OP, op)
    return gradient(op, run)


_input_gradient = _gradient(f"{OP}_grad_input", _grad_input)
_values_gradient = _gradient(f"{OP}_grad_values", _grad_values)
_product = differentiable(
    OP,
    register(OP, outputs=_forward, mutates=_mutates, prefers=_prefers),
    _setup_context,
    _backward,
)
