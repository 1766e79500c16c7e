"""reset_state_ in Triton: +0.0 to every element of a unit whose bit changed, in one launch.

Moves two bits a unit in and the changed elements out; states are not read. A program takes BLOCK
consecutive elements of one tensor, found by binary search over the tensors' first programs. Each
element is stored by one program, so their order does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from dsr_kernels.triton_kernels.apply_mask import ELEMENT_TYPES
from dsr_kernels.triton_kernels.elements import zero_elements
from dsr_kernels.triton_kernels.pointers import group_tensors, pointer_table
from dsr_kernels.triton_kernels.tuning import tuning


@triton.jit
def reset_state_kernel(
    entries_ptr,  # int64 [tensors, 4]: pointer, elements, layer, first program
    words_ptr,  # int32 [words]
    previous_ptr,  # int32 [words]
    layout_ptr,  # int64 [layers, 5]
    tensors,
    ELEMENT: tl.constexpr,
    STEPS: tl.constexpr,  # 2 ** STEPS >= tensors
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
):
    zero_elements(
        *(entries_ptr, words_ptr, previous_ptr, layout_ptr, tensors),
        *(True, ELEMENT, STEPS, BLOCK, TILE),
    )


def reset_state_(
    states: Sequence[Tensor],
    layers: Sequence[int],
    words: Tensor,
    previous: Tensor,
    table: Tensor,
) -> None:
    config = tuning("reset_state_")
    for element_bytes, chosen in group_tensors(states, layers, Tensor.element_size).items():
        entries, programs = pointer_table(chosen, config.block)
        with torch.cuda.device_of(words):
            reset_state_kernel[(programs,)](
                entries,
                words,
                previous,
                table,
                len(chosen),
                ELEMENT=ELEMENT_TYPES[element_bytes],
                STEPS=(len(chosen) - 1).bit_length(),
                BLOCK=config.block,
                TILE=config.tile,
                num_warps=config.warps,
            )
