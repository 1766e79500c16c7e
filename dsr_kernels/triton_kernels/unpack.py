"""unpack in Triton: packed values back to their places, +0.0 everywhere else, in one launch.

Moves: one bit a unit in; each value in; each element of the dense tensor out. A program takes the
1,024 units of one rank. Each element is written by one program.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from dsr_kernels.triton_kernels.packed_blocks import (
    BLOCK_UNITS,
    INTEGERS,
    block_bits,
    first_element,
)


@triton.jit
def unpack_kernel(
    values_ptr, ranks_ptr, words_ptr, data_ptr, units, unit_size, inner, size, BLOCK: tl.constexpr
):
    """One block's elements; ``size`` is the number of values there are: no others are read."""
    block = tl.program_id(0).to(tl.int64)
    unit, active = block_bits(words_ptr, block, units, BLOCK)
    place = (tl.load(ranks_ptr + block) + tl.cumsum(active, 0) - active) * unit_size
    target = first_element(unit, unit_size, inner)
    for u in range(0, unit_size):
        chosen = (active != 0) & (place + u >= 0) & (place + u < size)
        value = tl.load(values_ptr + place + u, mask=chosen, other=0)
        tl.store(data_ptr + target + u * inner, value, mask=unit < units)


def unpack(values: Tensor, ranks: Tensor, words: Tensor, units: Sequence[int]) -> Tensor:
    outer, unit_size, inner = units
    dense = values.new_empty(math.prod(units))
    if dense.numel() == 0:
        return dense
    bits = INTEGERS[values.element_size()]
    with torch.cuda.device_of(values):
        unpack_kernel[(triton.cdiv(outer * inner, BLOCK_UNITS),)](
            values.view(bits),
            ranks,
            words,
            dense.view(bits),
            outer * inner,
            unit_size,
            inner,
            values.numel(),
            BLOCK=BLOCK_UNITS,
        )
    return dense
