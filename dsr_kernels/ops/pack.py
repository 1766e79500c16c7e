"""pack: the values of a layer's active units, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dsr_kernels.dispatch import register
from dsr_kernels.mask import BitMask, popcount
from dsr_kernels.product_checks import RANK_BITS, check_layer, check_operand, check_weight


def pack(
    tensor: Tensor, mask: BitMask, layer: int = 0, active: int | None = None
) -> tuple[Tensor, Tensor]:
    """Keep only the values of active units. Bits are copied as they are; ``unpack`` undoes it.

    Differentiable: the gradient of the values is unpacked.

    Args:
        tensor: float32, bfloat16, float16 or float64, the elements of one layer, dense in memory.
        mask: the active units.
        layer: its number in the mask's layout.
        active: how many units of the layer are active, where the host knows; default: counted,
            which on a GPU waits for the device. A wrong number is refused on a CPU; on a GPU, which
            is not asked, it leaves values out or unset.

    Returns:
        values: [active units * unit size], unit after unit in order.
        ranks: int64 [ceil(units / 1024) + 1], how many units are active before each block of 1,024
            mask bits, and in all.

    Raises:
        TypeError, ValueError: an argument is not as described.

    Example:
        >>> layout = SparseLayout.of_elements([4])
        >>> mask = BitMask.from_bools(layout, [torch.tensor([True, False, True, False])])
        >>> pack(torch.tensor([1.0, 2.0, 3.0, 4.0]), mask)
        (tensor([1., 3.]), tensor([0, 2]))
    """
    check_layer(mask, layer)
    check_operand(tensor, "tensor")
    check_weight(tensor, mask, layer, name="tensor")
    words, shape = mask.layer_words(layer), mask.layout.layers[layer]
    if active is None:
        active = int(popcount(words.long() & 0xFFFFFFFF).sum())
    elif not isinstance(active, int) or isinstance(active, bool):
        raise TypeError(f"active: expected an int or None, got {type(active).__name__}")
    elif not 0 <= active <= shape.units:
        raise ValueError(f"active: expected a count in [0, {shape.units}], got {active}")
    units = [shape.outer, shape.unit_size, shape.inner]
    values, ranks = torch.ops.dsr_kernels.pack(tensor, words, units, active)
    return values, ranks


def _outputs(
    tensor: Tensor, words: Tensor, units: Sequence[int], active: int
) -> tuple[Tensor, Tensor]:
    blocks = -(-units[0] * units[2] // RANK_BITS)
    ranks = torch.empty(blocks + 1, dtype=torch.int64, device=tensor.device)
    return tensor.new_empty(active * units[1]), ranks


def _mutates(*args: Any) -> Sequence[Tensor]:
    return ()


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    tensor, words, ctx.units, _ = inputs
    ctx.shape, ctx.strides = tensor.shape, tensor.stride()
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(words, output[1])


def _backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    words, ranks = ctx.saved_tensors
    dense = torch.ops.dsr_kernels.unpack(grad.contiguous(), ranks, words, ctx.units)
    return dense.as_strided(ctx.shape, ctx.strides), None, None, None


register("pack", outputs=_outputs, mutates=_mutates)
torch.library.register_autograd("dsr_kernels::pack", _backward, setup_context=_setup_context)
