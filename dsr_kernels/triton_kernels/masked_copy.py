"""A copy of one layer's tensor with +0.0 where it is inactive, in one launch.

Moves: one bit a unit in; each element in and out. No op of its own: the library's route of the
products masks a weight by it. Each element is written by one program.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from dsr_kernels.triton_kernels.packed_blocks import INTEGERS
from dsr_kernels.triton_kernels.product_tuning import offset_type
from dsr_kernels.triton_kernels.weight_tiles import active_tile

BLOCK = 2048


@triton.jit
def masked_copy_kernel(
    source_ptr, words_ptr, target_ptr, size, unit_size, inner,
    GROUPED: tl.constexpr, OFFSET: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Elements as they lie in memory, read whether or not they are kept, so that loads are wide."""
    offsets = tl.program_id(0).to(OFFSET) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < size
    value = tl.load(source_ptr + offsets, mask=inside, other=0)
    active = active_tile(words_ptr, offsets, inside, unit_size, inner, GROUPED)
    tl.store(target_ptr + offsets, tl.where(active, value, 0), mask=inside)


def masked_copy(source: Tensor, words: Tensor, units: Sequence[int]) -> Tensor:
    """The copy of a dense tensor, in its strides.

    Args:
        source: of an element size in ``INTEGERS``.
        words, units: the layer's mask.
    """
    target = torch.empty_like(source)
    if source.numel() == 0:
        return target
    bits = INTEGERS[source.element_size()]
    with torch.cuda.device_of(source):
        masked_copy_kernel[(triton.cdiv(source.numel(), BLOCK),)](
            source.view(bits),
            words,
            target.view(bits),
            source.numel(),
            *units[1:],
            GROUPED=units[1] > 1,
            OFFSET=offset_type(units),
            BLOCK=BLOCK,
            num_warps=8,
        )
    return target
