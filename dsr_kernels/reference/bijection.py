"""A keyed bijection on [0, size): a Feistel network of 12 rounds with cycle walking."""

from __future__ import annotations

import torch
from torch import Tensor

from dsr_kernels.reference.philox import MASK32, random_words

ROUNDS = 12


def round_keys(seed: int, purpose: int, layer: int, reallocation: Tensor) -> Tensor:
    """The words of Philox at index 0, 1, 2: int64 [12]."""
    index = torch.arange(ROUNDS // 4, device=reallocation.device)
    return random_words(index, seed, purpose, layer, reallocation).view(ROUNDS)


def permute(ranks: Tensor, size: int, keys: Tensor) -> Tensor:
    """The places of ``ranks`` (int64, each in [0, size)) under the bijection of ``keys``.

    The network permutes a power of two; a value that falls outside [0, size) goes through it
    again, which ends inside because a permutation's cycle comes back to where it began.
    """
    bits = domain_bits(size)
    places = feistel(ranks, bits, keys)
    outside = (places >= size).nonzero().squeeze(1)
    while len(outside):
        again = feistel(places[outside], bits, keys)
        places[outside] = again
        outside = outside[again >= size]
    return places


def domain_bits(size: int) -> int:
    """Bits of the network for ``size`` places: as few as hold them, but 4 instead of 3.

    Halves of 1 and 2 bits mix too slowly: 12 rounds, even of truly random functions, prefer some
    pairs of 5 to 8 places to others by several per cent.
    """
    bits = (size - 1).bit_length()
    return 4 if bits == 3 else bits


def feistel(values: Tensor, bits: int, keys: Tensor) -> Tensor:
    """Permute [0, 2^bits): the two halves are changed in turn, each by a hash of the other."""
    low_bits = bits - bits // 2
    low_mask, high_mask = (1 << low_bits) - 1, (1 << bits // 2) - 1
    high, low = values >> low_bits, values & low_mask
    for r in range(0, ROUNDS, 2):
        low = low ^ mix(high ^ keys[r]) & low_mask
        high = high ^ mix(low ^ keys[r + 1]) & high_mask
    return high << low_bits | low


def mix(value: Tensor) -> Tensor:
    """The 32-bit finaliser of MurmurHash3 (Appleby), for values in [0, 2^32)."""
    value = (value ^ value >> 16) * 0x85EBCA6B & MASK32
    value = (value ^ value >> 13) * 0xC2B2AE35 & MASK32
    return value ^ value >> 16
