"""Philox4x32-10, the counter-based random numbers of every op (Salmon et al., SC 2011)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

MASK32 = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10


def philox4x32(counter: Sequence[Tensor], key: Sequence[int]) -> Tensor:
    """Four random 32-bit words of each counter.

    Args:
        counter: four int64 tensors of values in [0, 2^32), broadcast against each other.
        key: two ints in [0, 2^32).

    Returns:
        int64 [..., 4] in [0, 2^32).
    """
    c0, c1, c2, c3 = torch.broadcast_tensors(*counter)
    k0, k1 = key
    for _ in range(ROUNDS):
        # The products wrap around in an int64, and their 64 bits are right all the same.
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (p1 >> 32) & MASK32 ^ c1 ^ k0,
            p1 & MASK32,
            (p0 >> 32) & MASK32 ^ c3 ^ k1,
            p0 & MASK32,
        )
        k0, k1 = (k0 + WEYL[0]) & MASK32, (k1 + WEYL[1]) & MASK32
    return torch.stack([c0, c1, c2, c3], dim=-1)


def random_words(
    index: Tensor, seed: int, purpose: int, layer: int, reallocation: Tensor
) -> Tensor:
    """The words drawn at ``index`` (int64, below 2^48) by one layer in one reallocation."""
    counter = (
        index & MASK32,
        index >> 32 | purpose << 16,
        index.new_tensor(layer),
        reallocation & MASK32,
    )
    return philox4x32(counter, (seed & MASK32, seed >> 32 & MASK32))
