"""kth_magnitude: where to cut so that exactly k units are selected, ties included."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.checks import KEY_DTYPES, check_layer_tensors, check_mask, check_vector
from dsr_kernels.dispatch import register
from dsr_kernels.mask import BitMask


def kth_magnitude(
    tensors: Sequence[Tensor],
    mask: BitMask,
    k: Tensor,
    *,
    active: bool = True,
    largest: bool = False,
    per_layer: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the key and index that separate exactly k units from the others.

    A unit's key is the bits of its float32 magnitude, as an integer; for a group, of the mean
    magnitude. Units are ordered by key and, among equal keys, by index; a NaN comes last. A row
    ``(key, tie)`` of the result selects the candidates whose key lies beyond ``key`` (below it,
    or above it if ``largest``) and those whose key equals it and whose index is below ``tie``.

    Args:
        tensors: one tensor a layer, float32, bfloat16 or float16, dense in memory.
        mask: the active units.
        k: int64 [layers], or [1] if not ``per_layer``, on the mask's device: how many to select.
            Negative counts as 0; above the number of candidates selects them all.
        active: take the candidates among the active units, or among the inactive ones.
        largest: select the largest magnitudes instead of the smallest.
        per_layer: cut each layer by itself, index counted in the layer; or all layers together,
            index counted over all units.

    Returns:
        (select, shortfall, nonfinite) on the mask's device: int64 [layers or 1, 2], the rows
        above; int64 [layers or 1], how many candidates were missing; int64 [layers], candidates
        whose magnitude is Inf or NaN. In ``select`` a NaN has key 0x7FFFFFFF, or -1 if
        ``largest``; selecting nothing is (0, 0), or (0x7FFFFFFF, 0) if ``largest``.

    Raises:
        TypeError, ValueError: an argument is not as described.

    Example:
        >>> mask = BitMask.ones(SparseLayout.of_elements([4]))
        >>> values = [torch.tensor([3.0, -1.0, 1.0, 2.0])]
        >>> select, shortfall, _ = kth_magnitude(values, mask, torch.tensor([2]))
        >>> key, tie = select[0].tolist()
        >>> hex(key), tie
        ('0x3f800000', 3)
    """
    check_mask(mask)
    check_layer_tensors(tensors, None, mask, "tensors", KEY_DTYPES)
    check_vector(k, len(mask.layout) if per_layer else 1, torch.int64, mask, "k")
    with torch.no_grad():
        return torch.ops.dsr_kernels.kth_magnitude(
            list(tensors), mask.words, mask.table, k, active, largest, per_layer
        )


def _outputs(
    tensors: Sequence[Tensor],
    words: Tensor,
    table: Tensor,
    k: Tensor,
    active: bool,
    largest: bool,
    per_layer: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    layers = table.shape[0]
    groups = layers if per_layer else 1
    return table.new_empty(groups, 2), table.new_empty(groups), table.new_empty(layers)


def _mutates(*args: object) -> Sequence[Tensor]:
    return ()


register("kth_magnitude", outputs=_outputs, mutates=_mutates)
