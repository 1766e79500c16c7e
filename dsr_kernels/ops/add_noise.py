"""add_noise_: add normal random numbers to every active unit of any list of tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.checks import (
    KEY_DTYPES,
    check_int,
    check_layer_tensors,
    check_mask,
    check_vector,
    signed_seed,
)
from dsr_kernels.dispatch import register
from dsr_kernels.mask import BitMask
from dsr_kernels.ops.grow_random import Purpose


def add_noise_(
    tensors: Sequence[Tensor],
    mask: BitMask,
    scale: Tensor,
    *,
    seed: int,
    counter: Tensor,
    layers: Sequence[int] | None = None,
    purpose: int = Purpose.NOISE,
) -> None:
    """Add ``scale[i] * z`` to every element of an active unit of layer i, in place.

    z is a standard normal number of that element: a function of the seed, the counter, the
    purpose, the layer and the element's number in memory order alone. Two tensors of one layer
    get the same. It lies within +-3.63, by linear interpolation between 1025 points: mean 0,
    variance 1, kurtosis 2.993. Products and sums are rounded to float32 one by one; a sum goes
    to a 16-bit tensor by rounding to nearest even. An element whose sum is NaN stays as it was.

    Args:
        tensors: weights or gradients, each with as many elements as its layer, float32, bfloat16
            or float16, dense in memory.
        mask: the active units.
        scale: float32 [layers of the mask] on its device: the standard deviation in each layer.
        seed: an int in [0, 2^64).
        counter: int64 [1] on the mask's device, such as the number of the step; its low 32 bits
            are used. Other numbers give independent noise.
        layers: the layer number of each tensor; default: one tensor a layer, in order.
        purpose: keeps draws with one counter apart, in [0, 2^15).

    Raises:
        TypeError, ValueError: an argument is not as described; nothing was changed.

    Source:
        Bellec et al., "Deep rewiring: training very sparse deep networks" (ICLR 2018), for noise
        on active weights; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011)
        for Philox.

    Example:
        >>> mask = BitMask.from_bools(SparseLayout.of_elements([2]), [torch.tensor([True, False])])
        >>> gradient = torch.ones(2)
        >>> add_noise_([gradient], mask, torch.tensor([0.5]), seed=0, counter=torch.tensor([1]))
        >>> gradient[0] != 1, gradient[1] == 1
        (tensor(True), tensor(True))
    """
    check_mask(mask)
    numbers = check_layer_tensors(tensors, layers, mask, "tensors", KEY_DTYPES)
    check_vector(scale, len(mask.layout), torch.float32, mask, "scale")
    check_vector(counter, 1, torch.int64, mask, "counter")
    check_int(seed, 64, "seed")
    check_int(purpose, 15, "purpose")
    if tensors:
        with torch.no_grad():
            torch.ops.dsr_kernels.add_noise_(
                list(tensors),
                numbers,
                mask.words,
                mask.table,
                scale,
                signed_seed(seed),
                counter,
                int(purpose),
            )


def _outputs(
    tensors: Sequence[Tensor],
    layers: Sequence[int],
    words: Tensor,
    table: Tensor,
    scale: Tensor,
    seed: int,
    counter: Tensor,
    purpose: int,
) -> None:
    return None


def _mutates(tensors: Sequence[Tensor], *args: object) -> Sequence[Tensor]:
    return tensors


register("add_noise_", outputs=_outputs, mutates=_mutates)
