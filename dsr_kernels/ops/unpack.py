"""unpack: packed values back at their places in a dense tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dsr_kernels.dispatch import register
from dsr_kernels.mask import BitMask
from dsr_kernels.product_checks import check_layer, check_packed


def unpack(values: Tensor, ranks: Tensor, mask: BitMask, layer: int = 0) -> Tensor:
    """The dense form of what :func:`pack` kept: +0.0 at inactive units.

    Differentiable: the gradient is packed.

    Args:
        values: [active units * unit size], as ``pack`` returned it.
        ranks: likewise.
        mask: the active units, unchanged since.
        layer: the number of the layer in the mask's layout.

    Returns:
        [elements of the layer], in memory order: a view of a contiguous weight's shape is that
        weight.

    Raises:
        TypeError, ValueError: an argument is not as described. Whether ranks and mask belong
            together is checked on a CPU; on a GPU, which is not asked, elements are then wrong,
            and nothing beyond the values is read.

    Example:
        >>> layout = SparseLayout.of_elements([4])
        >>> mask = BitMask.from_bools(layout, [torch.tensor([True, False, True, False])])
        >>> unpack(*pack(torch.tensor([1.0, 2.0, 3.0, 4.0]), mask), mask)
        tensor([1., 0., 3., 0.])
    """
    check_layer(mask, layer)
    check_packed(values, ranks, mask, layer)
    shape = mask.layout.layers[layer]
    units = [shape.outer, shape.unit_size, shape.inner]
    dense: Tensor = torch.ops.dsr_kernels.unpack(values, ranks, mask.layer_words(layer), units)
    return dense


def _outputs(values: Tensor, ranks: Tensor, words: Tensor, units: Sequence[int]) -> Tensor:
    return values.new_empty(math.prod(units))


def _mutates(*args: Any) -> Sequence[Tensor]:
    return ()


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    values, _, words, ctx.units = inputs
    ctx.active = values.numel() // ctx.units[1]
    ctx.save_for_backward(words)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (words,) = ctx.saved_tensors
    packed, _ = torch.ops.dsr_kernels.pack(grad.contiguous(), words, ctx.units, ctx.active)
    return packed, None, None, None


register("unpack", outputs=_outputs, mutates=_mutates)
torch.library.register_autograd("dsr_kernels::unpack", _backward, setup_context=_setup_context)
