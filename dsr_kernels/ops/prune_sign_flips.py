"""prune_sign_flips_: prune every active unit whose sign has changed, all layers in one launch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.checks import KEY_DTYPES, check_layer_tensors, check_mask, check_same_layout
from dsr_kernels.dispatch import register
from dsr_kernels.mask import BitMask


def prune_sign_flips_(
    weights: Sequence[Tensor],
    mask: BitMask,
    positive: BitMask,
    negative: BitMask,
    *,
    zero: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Make every active unit inactive whose sign is not what it was, and note the signs, in place.

    Pruned are the units in ``positive`` whose weight is now below 0 and those in ``negative``
    whose weight is above 0. Then ``positive`` and ``negative`` hold the active units above and
    below 0. A weight of 0 or -0 and a NaN have no sign: they are never pruned, and in neither
    mask afterwards. Two empty masks prune nothing: that is how the signs are taken first. A layer
    may lose all its units.

    Args:
        weights: one tensor a layer, float32, bfloat16 or float16, dense in memory.
        mask: the active units, single elements; changed in place.
        positive, negative: the units that were above and below 0; masks of their own, changed in
            place.
        zero: set pruned weights to +0.0. False changes only the masks, for methods in which a
            unit that grows back at once keeps its value; ``apply_mask_`` follows then.

    Returns:
        (pruned, surviving, nonfinite), each int64 [layers] on the mask's device: units pruned,
        units still active, and units active before whose magnitude was Inf or NaN.

    Raises:
        TypeError, ValueError: an argument is not as described; nothing was changed.

    Source:
        Bellec et al., "Deep rewiring: training very sparse deep networks" (ICLR 2018).

    Example:
        >>> mask = BitMask.ones(SparseLayout.of_elements([3]))
        >>> positive, negative = BitMask.zeros(mask.layout), BitMask.zeros(mask.layout)
        >>> weight = torch.tensor([0.1, -0.2, 0.3])
        >>> counts = prune_sign_flips_([weight], mask, positive, negative)
        >>> weight -= 0.2
        >>> pruned, surviving, nonfinite = prune_sign_flips_([weight], mask, positive, negative)
        >>> weight, int(pruned)
        (tensor([ 0.0000, -0.4000,  0.1000]), 1)
    """
    check_mask(mask)
    for layer, shape in enumerate(mask.layout.layers):
        if shape.unit_size != 1:
            raise ValueError(
                "mask: expected units of single elements, a group has no sign; got units of "
                f"{shape.unit_size} elements in layer {layer}"
            )
    for name, signs, others in (
        ("positive", positive, {"mask": mask}),
        ("negative", negative, {"mask": mask, "positive": positive}),
    ):
        check_same_layout(mask, signs, name)
        for other, taken in others.items():
            if signs.words is taken.words:
                raise ValueError(f"{name}: expected a mask of its own, got {other} itself")
    check_layer_tensors(weights, None, mask, "weights", KEY_DTYPES)
    with torch.no_grad():
        return torch.ops.dsr_kernels.prune_sign_flips_(
            list(weights), mask.words, positive.words, negative.words, mask.table, zero
        )


def _outputs(
    weights: Sequence[Tensor],
    words: Tensor,
    positive: Tensor,
    negative: Tensor,
    table: Tensor,
    zero: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    layers = table.shape[0]
    return table.new_empty(layers), table.new_empty(layers), table.new_empty(layers)


def _mutates(
    weights: Sequence[Tensor],
    words: Tensor,
    positive: Tensor,
    negative: Tensor,
    table: Tensor,
    zero: bool,
) -> Sequence[Tensor]:
    masks = [words, positive, negative]
    return [*weights, *masks] if zero else masks


register("prune_sign_flips_", outputs=_outputs, mutates=_mutates)
