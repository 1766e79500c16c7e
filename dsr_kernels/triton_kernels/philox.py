"""Philox4x32-10 as the ops use it: what its counter and its key are made of."""

from __future__ import annotations

import triton
import triton.language as tl


def seed_halves(seed: int) -> tuple[int, int]:
    """The low and the high 32 bits of a seed, as the int32 arguments that a kernel takes."""
    low, high = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    return low - (low >> 31 << 32), high - (high >> 31 << 32)


@triton.jit
def random_words(index, seed_low, seed_high, purpose, layer, reallocation):
    """The four words, uint32, drawn at ``index`` (int64, below 2^48) by a layer in a reallocation.

    The halves of the seed are int32. Of ``reallocation`` (int64) the low 32 bits count. All but
    ``index`` are scalars, or of its shape.
    """
    c0 = index.to(tl.uint32)
    c1 = (index >> 32).to(tl.uint32) | (purpose.to(tl.uint32) << 16)
    c2 = (index * 0 + layer).to(tl.uint32)
    c3 = (index * 0 + reallocation).to(tl.uint32)
    key_low = seed_low.to(tl.uint32, bitcast=True)
    key_high = seed_high.to(tl.uint32, bitcast=True)
    return tl.philox_impl(c0, c1, c2, c3, key_low, key_high)
