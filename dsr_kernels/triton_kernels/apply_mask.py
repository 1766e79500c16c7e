"""apply_mask_ in Triton: +0.0 to every element of an inactive unit, all tensors in one launch.

Moves one bit a unit in and the inactive elements out; weights are not read. A program takes BLOCK
consecutive elements of one tensor, found by binary search over the tensors' first programs. Each
element is stored by one program, so their order does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from dsr_kernels.triton_kernels.elements import zero_elements
from dsr_kernels.triton_kernels.pointers import group_tensors, pointer_table
from dsr_kernels.triton_kernels.tuning import tuning

# Only zeros are written: an integer of the element's size serves every dtype.
ELEMENT_TYPES = {2: tl.int16, 4: tl.int32, 8: tl.int64}


@triton.jit
def apply_mask_kernel(
    entries_ptr,  # int64 [tensors, 4]: pointer, elements, layer, first program
    words_ptr,  # int32 [words]
    layout_ptr,  # int64 [layers, 5]
    tensors,
    ELEMENT: tl.constexpr,
    STEPS: tl.constexpr,  # 2 ** STEPS >= tensors
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
):
    zero_elements(
        *(entries_ptr, words_ptr, words_ptr, layout_ptr, tensors),
        *(False, ELEMENT, STEPS, BLOCK, TILE),
    )


def apply_mask_(
    tensors: Sequence[Tensor], layers: Sequence[int], words: Tensor, table: Tensor
) -> None:
    config = tuning("apply_mask_")
    for element_bytes, chosen in group_tensors(tensors, layers, Tensor.element_size).items():
        entries, programs = pointer_table(chosen, config.block)
        with torch.cuda.device_of(words):
            apply_mask_kernel[(programs,)](
                entries,
                words,
                table,
                len(chosen),
                ELEMENT=ELEMENT_TYPES[element_bytes],
                STEPS=(len(chosen) - 1).bit_length(),
                BLOCK=config.block,
                TILE=config.tile,
                num_warps=config.warps,
            )
