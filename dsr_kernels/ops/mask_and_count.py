"""mask_and_count_: what apply_mask_ does, and NaN and Inf among what stays, in one pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.checks import check_layer_tensors, check_mask
from dsr_kernels.dispatch import register
from dsr_kernels.mask import BitMask
from dsr_kernels.ops.apply_mask import FLOATING


def mask_and_count_(
    tensors: Sequence[Tensor], mask: BitMask, layers: Sequence[int] | None = None
) -> Tensor:
    """Set every element of an inactive unit to +0.0, in place, and count what is not finite.

    For tensors that are masked already, nearly always: an inactive element is written only if it
    is not +0.0.

    Args:
        tensors: weights, gradients or optimizer states, each with as many elements as its layer,
            dense in memory (contiguous or channels_last), of any floating dtype.
        mask: the active units.
        layers: the layer number of each tensor; default: one tensor a layer, in order.

    Returns:
        int64 [tensors]: elements of active units that are NaN or Inf.

    Raises:
        TypeError, ValueError: an argument is not as described; nothing was changed.

    Example:
        >>> layout = SparseLayout.of_elements([4])
        >>> mask = BitMask.from_bools(layout, [torch.tensor([True, False, True, False])])
        >>> weight = torch.tensor([1.0, torch.nan, torch.inf, 2.0])
        >>> mask_and_count_([weight], mask)
        tensor([1])
        >>> weight
        tensor([1., 0., inf, 0.])
    """
    check_mask(mask)
    numbers = check_layer_tensors(tensors, layers, mask, "tensors", FLOATING)
    with torch.no_grad():
        if not tensors:
            return mask.words.new_zeros(0, dtype=torch.int64)
        nonfinite: Tensor = torch.ops.dsr_kernels.mask_and_count_(
            list(tensors), numbers, mask.words, mask.table
        )
    return nonfinite


def _outputs(
    tensors: Sequence[Tensor], layers: Sequence[int], words: Tensor, table: Tensor
) -> Tensor:
    return words.new_empty(len(tensors), dtype=torch.int64)


def _mutates(
    tensors: Sequence[Tensor], layers: Sequence[int], words: Tensor, table: Tensor
) -> Sequence[Tensor]:
    return tensors


register("mask_and_count_", outputs=_outputs, mutates=_mutates)
