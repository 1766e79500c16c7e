"""layer_mean: the mean magnitude of each layer's active units, as integers that compare."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.checks import KEY_DTYPES, check_layer_tensors, check_mask
from dsr_kernels.dispatch import register
from dsr_kernels.mask import BitMask


def layer_mean(tensors: Sequence[Tensor], mask: BitMask) -> Tensor:
    """The mean magnitude of each layer's active units, in fixed point on one common scale.

    The scale gives the largest magnitude of all layers 31 bits. Sums of integers do not depend on
    their order, so every backend returns the same numbers; they go to ``allocate_growth`` as
    shares.

    Args:
        tensors: one tensor a layer (momentum, weights), float32, bfloat16 or float16, dense in
            memory.
        mask: the active units.

    Returns:
        int64 [layers] on the mask's device: floor(sum / active units), 0 for a layer without
        active units. Inf and NaN count as 0 and do not set the scale.

    Raises:
        TypeError, ValueError: an argument is not as described.

    Source:
        Dettmers and Zettlemoyer, "Sparse networks from scratch" (2019), section 3.

    Example:
        >>> mask = BitMask.ones(SparseLayout.of_elements([2, 2]))
        >>> layer_mean([torch.tensor([1.0, -1.0]), torch.tensor([0.5, 0.0])], mask)
        tensor([1073741824,  268435456])
    """
    check_mask(mask)
    check_layer_tensors(tensors, None, mask, "tensors", KEY_DTYPES)
    with torch.no_grad():
        return torch.ops.dsr_kernels.layer_mean(list(tensors), mask.words, mask.table)


def _outputs(tensors: Sequence[Tensor], words: Tensor, table: Tensor) -> Tensor:
    return table.new_empty(table.shape[0])


def _mutates(tensors: Sequence[Tensor], words: Tensor, table: Tensor) -> Sequence[Tensor]:
    return ()


register("layer_mean", outputs=_outputs, mutates=_mutates)
