"""reset_state_: clear optimizer state where a reallocation changed the mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.checks import check_layer_tensors, check_mask, check_same_layout
from dsr_kernels.dispatch import register
from dsr_kernels.mask import BitMask
from dsr_kernels.ops.apply_mask import FLOATING


def reset_state_(
    states: Sequence[Tensor],
    mask: BitMask,
    previous: BitMask,
    layers: Sequence[int] | None = None,
) -> None:
    """Set every element of a unit in which ``mask`` and ``previous`` differ to +0.0, in place.

    These are the units pruned and the units grown since ``previous``; one pruned and grown again
    in the same reallocation keeps its state.

    Args:
        states: optimizer states, each with as many elements as its layer, dense in memory, of any
            floating dtype.
        mask: the active units.
        previous: the mask before the reallocation.
        layers: the layer number of each tensor; default: one tensor a layer, in order.

    Raises:
        TypeError, ValueError: an argument is not as described; nothing was changed.

    Example:
        >>> layout = SparseLayout.of_elements([3])
        >>> mask = BitMask.from_bools(layout, [torch.tensor([True, False, True])])
        >>> previous = BitMask.from_bools(layout, [torch.tensor([True, True, False])])
        >>> momentum = torch.ones(3)
        >>> reset_state_([momentum], mask, previous)
        >>> momentum
        tensor([1., 0., 0.])
    """
    check_mask(mask)
    check_same_layout(mask, previous, "previous")
    numbers = check_layer_tensors(states, layers, mask, "states", FLOATING)
    if states:
        with torch.no_grad():
            torch.ops.dsr_kernels.reset_state_(
                list(states), numbers, mask.words, previous.words, mask.table
            )


def _outputs(
    states: Sequence[Tensor],
    layers: Sequence[int],
    words: Tensor,
    previous: Tensor,
    table: Tensor,
) -> None:
    return None


def _mutates(
    states: Sequence[Tensor],
    layers: Sequence[int],
    words: Tensor,
    previous: Tensor,
    table: Tensor,
) -> Sequence[Tensor]:
    return states


register("reset_state_", outputs=_outputs, mutates=_mutates)
