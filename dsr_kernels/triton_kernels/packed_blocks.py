"""What pack and unpack share: the units of a block of 1,024 mask bits, and where they lie."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

BLOCK_UNITS = 1024  # RANK_BITS of dsr_kernels/product_checks.py
# Bits are moved, not numbers: an integer of the element's size serves every dtype.
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


@triton.jit
def block_bits(words_ptr, block, units, BLOCK: tl.constexpr):
    """The numbers of a block's units, and 1 where they are active."""
    unit = block * BLOCK + tl.arange(0, BLOCK)
    word = tl.load(words_ptr + unit // 32, mask=unit < units, other=0)
    return unit, (word >> (unit % 32).to(tl.int32)) & 1


@triton.jit
def first_element(unit, unit_size, inner):
    """Where the first element of each unit lies; the others follow at a distance of ``inner``."""
    return unit // inner * (unit_size * inner) + unit % inner
