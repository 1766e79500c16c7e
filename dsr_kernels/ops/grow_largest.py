"""grow_largest_: activate the inactive units of largest score."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.checks import (
    KEY_DTYPES,
    check_layer_tensors,
    check_mask,
    check_same_layout,
    check_vector,
)
from dsr_kernels.dispatch import register
from dsr_kernels.mask import BitMask


def grow_largest_(
    mask: BitMask,
    previous: BitMask,
    scores: Sequence[Tensor],
    counts: Tensor,
    *,
    per_layer: bool = True,
) -> Tensor:
    """Make the ``counts`` inactive units of largest score magnitude active, in place.

    The places are the units inactive in ``previous``; only if there are too few of them, the
    units pruned since (active in ``previous``, inactive in ``mask``) take the rest, the largest
    first. Pass a clone of ``mask`` as ``previous`` to let both kinds compete, as RigL does. Among
    equal scores the lowest index comes first, and a NaN score last.

    Args:
        mask: the active units, changed in place.
        previous: the mask before pruning, not ``mask`` itself.
        scores: one tensor a layer (gradients, momentum, saliency), float32, bfloat16 or float16,
            dense in memory.
        counts: int64 [layers], or [1] if not ``per_layer``, on the mask's device. Negative counts
            as 0; above the number of inactive units all become active.
        per_layer: grow ``counts[i]`` units of layer i, or ``counts`` units over all layers.

    Returns:
        int64 [layers] on the mask's device: units grown.

    Raises:
        TypeError, ValueError: an argument is not as described; nothing was changed.

    Source:
        Evci et al., "Rigging the lottery" (ICML 2020); Dettmers and Zettlemoyer, "Sparse networks
        from scratch" (2019).

    Example:
        >>> mask = BitMask.zeros(SparseLayout.of_elements([4]))
        >>> scores = [torch.tensor([1.0, -5.0, 2.0, 0.0])]
        >>> grown = grow_largest_(mask, mask.clone(), scores, torch.tensor([2]))
        >>> mask.to_bools()[0].tolist()
        [False, True, True, False]
    """
    check_mask(mask)
    check_same_layout(mask, previous, "previous")
    if previous.words is mask.words:
        raise ValueError("previous: expected a mask of its own, got mask itself; pass a clone")
    check_layer_tensors(scores, None, mask, "scores", KEY_DTYPES)
    check_vector(counts, len(mask.layout) if per_layer else 1, torch.int64, mask, "counts")
    with torch.no_grad():
        return torch.ops.dsr_kernels.grow_largest_(
            mask.words, previous.words, list(scores), mask.table, counts, per_layer
        )


def _outputs(
    words: Tensor,
    previous: Tensor,
    scores: Sequence[Tensor],
    table: Tensor,
    counts: Tensor,
    per_layer: bool,
) -> Tensor:
    return table.new_empty(table.shape[0])


def _mutates(words: Tensor, *args: object) -> Sequence[Tensor]:
    return [words]


register("grow_largest_", outputs=_outputs, mutates=_mutates)
