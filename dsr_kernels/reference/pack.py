"""pack in plain PyTorch: the definition."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dsr_kernels.checks import memory_order
from dsr_kernels.layout import LayerShape
from dsr_kernels.mask import unpack_bits
from dsr_kernels.product_checks import RANK_BITS


def pack(tensor: Tensor, words: Tensor, units: Sequence[int], active: int) -> tuple[Tensor, Tensor]:
    shape = LayerShape(*units)
    bits = unpack_bits(words, shape.units)
    if int(bits.sum()) != active:
        raise ValueError(f"active: expected {int(bits.sum())}, as in the mask, got {active}")
    rows = memory_order(tensor).view(shape.outer, shape.unit_size, shape.inner)
    per_unit = rows.transpose(1, 2).reshape(shape.units, shape.unit_size)
    return per_unit[bits].flatten(), block_ranks(bits)


def block_ranks(bits: Tensor) -> Tensor:
    """How many bits are set before each block of RANK_BITS, and in all: int64 [blocks + 1]."""
    blocks = -(-len(bits) // RANK_BITS)
    padded = bits.new_zeros(blocks * RANK_BITS)
    padded[: len(bits)] = bits
    counts = padded.view(blocks, RANK_BITS).sum(1)
    ranks = counts.new_zeros(blocks + 1)
    ranks[1:] = counts.cumsum(0)
    return ranks
