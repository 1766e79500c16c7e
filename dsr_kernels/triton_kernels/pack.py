"""pack in Triton: count the active units of each block of 1,024, then copy them side by side.

Moves: one bit a unit in, twice; each active element in and out. Between the two launches torch
sums the counts of the blocks; nothing waits for the host. Each value is written by one program.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from dsr_kernels.checks import memory_order
from dsr_kernels.triton_kernels.packed_blocks import (
    BLOCK_UNITS,
    INTEGERS,
    block_bits,
    first_element,
)


@triton.jit
def count_kernel(words_ptr, counts_ptr, units, BLOCK: tl.constexpr):
    """The active units of one block."""
    block = tl.program_id(0).to(tl.int64)
    _, active = block_bits(words_ptr, block, units, BLOCK)
    tl.store(counts_ptr + block, tl.sum(active, 0).to(tl.int64))


@triton.jit
def pack_kernel(
    data_ptr, words_ptr, ranks_ptr, values_ptr, units, unit_size, inner, size, BLOCK: tl.constexpr
):
    """One block's values, at its rank; ``size`` is the room there is."""
    block = tl.program_id(0).to(tl.int64)
    unit, active = block_bits(words_ptr, block, units, BLOCK)
    place = (tl.load(ranks_ptr + block) + tl.cumsum(active, 0) - active) * unit_size
    source = first_element(unit, unit_size, inner)
    for u in range(0, unit_size):
        chosen = (active != 0) & (place + u < size)
        value = tl.load(data_ptr + source + u * inner, mask=chosen, other=0)
        tl.store(values_ptr + place + u, value, mask=chosen)


def pack(tensor: Tensor, words: Tensor, units: Sequence[int], active: int) -> tuple[Tensor, Tensor]:
    outer, unit_size, inner = units
    blocks = triton.cdiv(outer * inner, BLOCK_UNITS)
    values = tensor.new_empty(active * unit_size)
    ranks = torch.zeros(blocks + 1, dtype=torch.int64, device=tensor.device)
    if blocks == 0:
        return values, ranks
    bits = INTEGERS[tensor.element_size()]
    with torch.cuda.device_of(tensor):
        counts = torch.empty(blocks, dtype=torch.int64, device=tensor.device)
        count_kernel[(blocks,)](words, counts, outer * inner, BLOCK=BLOCK_UNITS)
        torch.cumsum(counts, 0, out=ranks[1:])
        pack_kernel[(blocks,)](
            memory_order(tensor).view(bits),
            words,
            ranks,
            values.view(bits),
            outer * inner,
            unit_size,
            inner,
            values.numel(),
            BLOCK=BLOCK_UNITS,
        )
    return values, ranks
