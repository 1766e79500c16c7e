"""prune_threshold_: prune every active unit below a threshold, all layers in one launch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.checks import KEY_DTYPES, check_layer_tensors, check_mask, check_vector
from dsr_kernels.dispatch import register
from dsr_kernels.mask import BitMask


def prune_threshold_(
    weights: Sequence[Tensor], mask: BitMask, threshold: Tensor, *, zero: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Make every active unit whose magnitude is below ``threshold`` inactive, in place.

    The comparison is strict and NaN is never below. A layer that would lose every active unit
    keeps the one of largest magnitude, the lowest index among equals. A group's magnitude is the
    mean of its elements' magnitudes.

    Args:
        weights: one tensor a layer, float32, bfloat16 or float16, dense in memory.
        mask: the active units, changed in place.
        threshold: float32 [1] on the mask's device. Nothing reads it back to refuse it: of a
            negative one the magnitude counts; below Inf is every finite unit, below NaN every
            unit that is not NaN.
        zero: set the elements of pruned units to +0.0. False changes only the mask, for methods
            in which a unit that grows back at once keeps its value; ``apply_mask_`` follows then.

    Returns:
        (pruned, surviving, nonfinite), each int64 [layers] on the mask's device: units pruned,
        units still active, and units active before whose magnitude was Inf or NaN.

    Raises:
        TypeError, ValueError: an argument is not as described; nothing was changed.

    Source:
        Mostafa and Wang, "Parameter efficient training of deep convolutional neural networks by
        dynamic sparse reparameterization" (ICML 2019), Algorithm 1.

    Example:
        >>> mask = BitMask.ones(SparseLayout.of_elements([4]))
        >>> weight = torch.tensor([0.5, -0.1, 0.05, 2.0])
        >>> pruned, surviving, nonfinite = prune_threshold_([weight], mask, torch.tensor([0.2]))
        >>> weight, int(pruned), int(surviving)
        (tensor([0.5000, 0.0000, 0.0000, 2.0000]), 2, 2)
    """
    check_mask(mask)
    check_layer_tensors(weights, None, mask, "weights", KEY_DTYPES)
    check_vector(threshold, 1, torch.float32, mask, "threshold")
    with torch.no_grad():
        return torch.ops.dsr_kernels.prune_threshold_(
            list(weights), mask.words, mask.table, threshold, zero
        )


def _outputs(
    weights: Sequence[Tensor], words: Tensor, table: Tensor, threshold: Tensor, zero: bool
) -> tuple[Tensor, Tensor, Tensor]:
    layers = table.shape[0]
    return table.new_empty(layers), table.new_empty(layers), table.new_empty(layers)


def _mutates(
    weights: Sequence[Tensor], words: Tensor, table: Tensor, threshold: Tensor, zero: bool
) -> Sequence[Tensor]:
    return [*weights, words] if zero else [words]


register("prune_threshold_", outputs=_outputs, mutates=_mutates)
