"""grow_random_: activate random inactive units, drawn without a sort."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import torch
from torch import Tensor

from dsr_kernels.checks import (
    check_int,
    check_mask,
    check_same_layout,
    check_vector,
    signed_seed,
)
from dsr_kernels.dispatch import register
from dsr_kernels.mask import BitMask


class Purpose(IntEnum):
    """What random numbers are drawn for: draws of different purposes are independent."""

    INITIAL_MASK = 0
    GROW = 1
    NOISE = 2
    NEW_WEIGHT = 3
    DORMANT_START = 4
    DORMANT_NOISE = 5


def grow_random_(
    mask: BitMask,
    previous: BitMask,
    counts: Tensor,
    *,
    seed: int,
    reallocation: Tensor,
    purpose: int = Purpose.GROW,
) -> Tensor:
    """Make ``counts[i]`` inactive units of layer i active, uniformly at random, in place.

    The places are the units inactive in ``previous``; only if a layer has too few of them, the
    units pruned since (active in ``previous``, inactive in ``mask``) take the rest, at random
    too. Pass a clone of ``mask`` as ``previous`` to give both kinds the same chance. The units
    are a function of the masks, the counts, the seed, the layer, the reallocation and the purpose
    alone: ranks 0, 1, ... of the free places under a keyed bijection.

    Args:
        mask: the active units, changed in place.
        previous: the mask before pruning, not ``mask`` itself.
        counts: int64 [layers] on the mask's device. Negative counts as 0; above the number of
            inactive units the layer becomes full.
        seed: an int in [0, 2^64).
        reallocation: int64 [1] on the mask's device, the number of this reallocation; its low 32
            bits are used.
        purpose: keeps draws of one reallocation apart, in [0, 2^15).

    Returns:
        int64 [layers] on the mask's device: units grown.

    Raises:
        TypeError, ValueError: an argument is not as described; nothing was changed.

    Source:
        Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011) for Philox; Black
        and Rogaway, "Ciphers with arbitrary finite domains" (CT-RSA 2002) for cycle walking.

    Example:
        >>> mask = BitMask.zeros(SparseLayout.of_elements([1000]))
        >>> counts, number = torch.tensor([100]), torch.tensor([0])
        >>> int(grow_random_(mask, mask.clone(), counts, seed=7, reallocation=number))
        100
    """
    check_mask(mask)
    check_same_layout(mask, previous, "previous")
    if previous.words is mask.words:
        raise ValueError("previous: expected a mask of its own, got mask itself; pass a clone")
    check_vector(counts, len(mask.layout), torch.int64, mask, "counts")
    check_vector(reallocation, 1, torch.int64, mask, "reallocation")
    check_int(seed, 64, "seed")
    check_int(purpose, 15, "purpose")
    with torch.no_grad():
        return torch.ops.dsr_kernels.grow_random_(
            mask.words,
            previous.words,
            mask.table,
            counts,
            signed_seed(seed),
            reallocation,
            int(purpose),
        )


def _outputs(
    words: Tensor,
    previous: Tensor,
    table: Tensor,
    counts: Tensor,
    seed: int,
    reallocation: Tensor,
    purpose: int,
) -> Tensor:
    return table.new_empty(table.shape[0])


def _mutates(words: Tensor, *args: object) -> Sequence[Tensor]:
    return [words]


register("grow_random_", outputs=_outputs, mutates=_mutates)
