"""apply_mask_: zero every inactive unit of any list of tensors, all layers in one launch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.checks import check_layer_tensors, check_mask
from dsr_kernels.dispatch import register
from dsr_kernels.mask import BitMask


def apply_mask_(
    tensors: Sequence[Tensor], mask: BitMask, layers: Sequence[int] | None = None
) -> None:
    """Set every element of an inactive unit to +0.0, in place.

    By select, never by multiplication: an inf or NaN under a 0 bit becomes +0.0 too.

    Args:
        tensors: weights, gradients or optimizer states, each with as many elements as its layer,
            dense in memory (contiguous or channels_last), of any floating dtype.
        mask: the active units.
        layers: the layer number of each tensor; default: one tensor a layer, in order.

    Raises:
        TypeError, ValueError: an argument is not as described; nothing was changed.

    Example:
        >>> layout = SparseLayout.of_elements([4])
        >>> mask = BitMask.from_bools(layout, [torch.tensor([True, False, True, False])])
        >>> weight = torch.ones(2, 2)
        >>> apply_mask_([weight], mask)
        >>> weight
        tensor([[1., 0.],
                [1., 0.]])
    """
    check_mask(mask)
    numbers = check_layer_tensors(tensors, layers, mask, "tensors", FLOATING)
    if tensors:
        with torch.no_grad():
            torch.ops.dsr_kernels.apply_mask_(list(tensors), numbers, mask.words, mask.table)


FLOATING = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def _outputs(
    tensors: Sequence[Tensor], layers: Sequence[int], words: Tensor, table: Tensor
) -> None:
    return None


def _mutates(
    tensors: Sequence[Tensor], layers: Sequence[int], words: Tensor, table: Tensor
) -> Sequence[Tensor]:
    return tensors


register("apply_mask_", outputs=_outputs, mutates=_mutates)
