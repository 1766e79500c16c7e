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

from dsr_kernels.triton_kernels.pointers import COLUMNS, pointer_table
from dsr_kernels.triton_kernels.tuning import tuning

# Only zeros are written: an integer of the element's size serves every dtype.
ELEMENT_TYPES = {2: tl.int16, 4: tl.int32, 8: tl.int64}
WORD = tl.constexpr(32)
ENTRY = tl.constexpr(COLUMNS)
LAYER = tl.constexpr(5)


@triton.jit
def _mask_elements(
    data_ptr, words_ptr, start, elements, ELEMENT: tl.constexpr, BLOCK: tl.constexpr
):
    words = start // WORD + tl.arange(0, BLOCK // WORD)[:, None]
    bits = tl.arange(0, WORD)[None, :]
    word = tl.load(words_ptr + words, mask=words * WORD < elements, other=-1)
    offsets = words * WORD + bits
    inactive = ((word >> bits) & 1) == 0
    zeros = tl.zeros([BLOCK // WORD, WORD], ELEMENT)
    tl.store(data_ptr + offsets, zeros, mask=inactive & (offsets < elements))


@triton.jit
def _mask_groups(
    data_ptr, words_ptr, start, elements, inner, span, ELEMENT: tl.constexpr, BLOCK: tl.constexpr
):
    offsets = start + tl.arange(0, BLOCK)
    units = offsets // span * inner + offsets % inner
    word = tl.load(words_ptr + units // WORD, mask=offsets < elements, other=-1)
    inactive = ((word >> (units % WORD).to(tl.int32)) & 1) == 0
    tl.store(data_ptr + offsets, tl.zeros([BLOCK], ELEMENT), mask=inactive & (offsets < elements))


@triton.jit
def apply_mask_kernel(
    entries_ptr,  # int64 [tensors, ENTRY]: pointer, elements, layer, first program
    words_ptr,  # int32 [words]
    layout_ptr,  # int64 [layers, LAYER]
    tensors,
    ELEMENT: tl.constexpr,
    STEPS: tl.constexpr,  # 2 ** STEPS >= tensors
    BLOCK: tl.constexpr,
):
    program = tl.program_id(0).to(tl.int64)
    low = program * 0
    high = low + tensors
    for _ in tl.static_range(STEPS):
        middle = (low + high) // 2
        left = tl.load(entries_ptr + middle * ENTRY + 3) > program
        high = tl.where(left, middle, high)
        low = tl.where(left, low, middle)
    entry_ptr = entries_ptr + low * ENTRY
    data_ptr = tl.load(entry_ptr).to(tl.pointer_type(ELEMENT))
    elements = tl.load(entry_ptr + 1)
    row_ptr = layout_ptr + tl.load(entry_ptr + 2) * LAYER
    start = (program - tl.load(entry_ptr + 3)) * BLOCK
    unit_size = tl.load(row_ptr + 1)
    layer_words_ptr = words_ptr + tl.load(row_ptr + 3)

    if unit_size == 1:
        _mask_elements(data_ptr, layer_words_ptr, start, elements, ELEMENT, BLOCK)
    else:
        inner = tl.load(row_ptr + 2)
        span = unit_size * inner
        _mask_groups(data_ptr, layer_words_ptr, start, elements, inner, span, ELEMENT, BLOCK)


def apply_mask_(
    tensors: Sequence[Tensor], layers: Sequence[int], words: Tensor, table: Tensor
) -> None:
    config = tuning("apply_mask_")
    for element_bytes, element_type in ELEMENT_TYPES.items():
        chosen = [
            (tensor, layer)
            for tensor, layer in zip(tensors, layers, strict=True)
            if tensor.element_size() == element_bytes and tensor.numel() > 0
        ]
        if not chosen:
            continue
        entries, programs = pointer_table(chosen, config.block)
        with torch.cuda.device_of(words):
            apply_mask_kernel[(programs,)](
                entries,
                words,
                table,
                len(chosen),
                ELEMENT=element_type,
                STEPS=(len(chosen) - 1).bit_length(),
                BLOCK=config.block,
                num_warps=config.warps,
            )
