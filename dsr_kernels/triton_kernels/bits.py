"""Counting and finding the bits of words, without the instructions that Triton does not offer."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def popcount(words):
    """Set bits of each uint32: int32."""
    words = words - ((words >> 1) & 0x55555555)
    words = (words & 0x33333333) + ((words >> 2) & 0x33333333)
    words = (words + (words >> 4)) & 0x0F0F0F0F
    words += words >> 8
    return ((words + (words >> 16)) & 0x3F).to(tl.int32)


@triton.jit
def bit_length(words):
    """Bits of each uint32 from its lowest to its highest set one: int32."""
    bits = (words != 0).to(tl.int32)
    for step in tl.static_range(5):
        width = 16 >> step
        long = (words >> width) != 0
        words = tl.where(long, words >> width, words)
        bits += tl.where(long, width, 0)
    return bits


@triton.jit
def nth_set_bit(words, n):
    """The position of set bit ``n`` (int32, from 0) of each uint32 that has so many: int32."""
    # Set bits of each 2, 4, 8 bits, side by side; then down the tree, the lower half first.
    twos = words - ((words >> 1) & 0x55555555)
    fours = (twos & 0x33333333) + ((twos >> 2) & 0x33333333)
    eights = (fours + (fours >> 4)) & 0x0F0F0F0F
    left = n.to(tl.uint32)
    below = (eights + (eights >> 8)) & 0xFF
    above = left >= below
    left = tl.where(above, left - below, left)
    position = tl.where(above, 16, 0).to(tl.uint32)
    for step in tl.static_range(4):
        counts = (eights, fours, twos, words)[step]
        width = 8 >> step
        below = (counts >> position) & (2 * width - 1)
        above = left >= below
        left = tl.where(above, left - below, left)
        position = tl.where(above, position + width, position)
    return position.to(tl.int32)
