"""prune_smallest_: prune exactly k active units of smallest magnitude."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.checks import KEY_DTYPES, check_layer_tensors, check_mask, check_vector
from dsr_kernels.dispatch import register
from dsr_kernels.mask import BitMask


def prune_smallest_(
    weights: Sequence[Tensor],
    mask: BitMask,
    k: Tensor,
    *,
    per_layer: bool = True,
    zero: bool = True,
    keep_one: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Make the k active units of smallest magnitude inactive, in place.

    Among equal magnitudes the lowest index goes first. A unit whose magnitude is NaN is never
    pruned, so fewer than k go where too few others are active.

    Args:
        weights: one tensor a layer, float32, bfloat16 or float16, dense in memory.
        mask: the active units, changed in place.
        k: int64 [layers], or [1] if not ``per_layer``, on the mask's device. Negative counts as 0.
        per_layer: prune ``k[i]`` units of layer i, or ``k`` units over all layers.
        zero: set the elements of pruned units to +0.0. False changes only the mask, for methods
            in which a unit that grows back at once keeps its value; ``apply_mask_`` follows then.
        keep_one: a layer that would lose every active unit keeps the one of largest magnitude,
            the lowest index among equals; fewer than k are pruned then.

    Returns:
        (pruned, surviving, nonfinite), each int64 [layers] on the mask's device: units pruned,
        units still active, and units active before whose magnitude was Inf or NaN.

    Raises:
        TypeError, ValueError: an argument is not as described; nothing was changed.

    Example:
        >>> mask = BitMask.ones(SparseLayout.of_elements([4]))
        >>> weight = torch.tensor([3.0, -1.0, 1.0, 2.0])
        >>> pruned, surviving, nonfinite = prune_smallest_([weight], mask, torch.tensor([1]))
        >>> weight
        tensor([3., 0., 1., 2.])
    """
    check_mask(mask)
    check_layer_tensors(weights, None, mask, "weights", KEY_DTYPES)
    check_vector(k, len(mask.layout) if per_layer else 1, torch.int64, mask, "k")
    with torch.no_grad():
        return torch.ops.dsr_kernels.prune_smallest_(
            list(weights), mask.words, mask.table, k, per_layer, zero, keep_one
        )


def _outputs(
    weights: Sequence[Tensor],
    words: Tensor,
    table: Tensor,
    k: Tensor,
    per_layer: bool,
    zero: bool,
    keep_one: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    layers = table.shape[0]
    return table.new_empty(layers), table.new_empty(layers), table.new_empty(layers)


def _mutates(
    weights: Sequence[Tensor],
    words: Tensor,
    table: Tensor,
    k: Tensor,
    per_layer: bool,
    zero: bool,
    keep_one: bool,
) -> Sequence[Tensor]:
    return [*weights, words] if zero else [words]


register("prune_smallest_", outputs=_outputs, mutates=_mutates)
