"""A keyed bijection on [0, size): a Feistel network of 12 rounds with cycle walking."""

from __future__ import annotations

import triton
import triton.language as tl

from dsr_kernels.triton_kernels.bits import bit_length

ROUNDS = tl.constexpr(12)


@triton.jit
def _feistel(values, low_bits, low_mask, high_mask, keys_ptr):
    """The two halves are changed in turn, each by a hash of the other."""
    target, source = values & low_mask, values >> low_bits
    target_mask, source_mask = low_mask, high_mask
    for r in tl.static_range(ROUNDS):
        # The 32-bit finaliser of MurmurHash3 (Appleby). Written out: the interpreter takes a
        # millisecond to call a function.
        mixed = source ^ tl.load(keys_ptr + r)
        mixed = tl.mul(mixed ^ (mixed >> 16), 0x85EBCA6B, sanitize_overflow=False)
        mixed = tl.mul(mixed ^ (mixed >> 13), 0xC2B2AE35, sanitize_overflow=False)
        mixed = mixed ^ (mixed >> 16)
        source, target = target ^ (mixed & target_mask), source
        source_mask, target_mask = target_mask, source_mask
    return (source << low_bits) | target


@triton.jit
def permute(ranks, sizes, keys_ptr):
    """The places of ``ranks`` under the bijections on [0, sizes), int64 each.

    ``keys_ptr`` points to the 12 round keys of each. A place outside [0, sizes) goes round again,
    so every rank has to lie inside.
    """
    last = (sizes - 1).to(tl.uint32)
    bits = bit_length(last)
    bits = tl.where(bits == 3, 4, bits)  # halves of 1 and 2 bits mix too slowly
    high_bits = (bits // 2).to(tl.uint32)
    low_bits = bits.to(tl.uint32) - high_bits
    low_mask = (1 << low_bits) - 1
    high_mask = (1 << high_bits) - 1
    places = _feistel(ranks.to(tl.uint32), low_bits, low_mask, high_mask, keys_ptr)
    outside = places > last
    while tl.max(outside.to(tl.int32), axis=0) > 0:
        again = _feistel(places, low_bits, low_mask, high_mask, keys_ptr)
        places = tl.where(outside, again, places)
        outside = places > last
    return places.to(tl.int64)
