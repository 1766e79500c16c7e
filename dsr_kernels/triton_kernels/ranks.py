"""The order in which units are selected, as ranks of 32 bits, and what a search for one leaves."""

from __future__ import annotations

import triton
import triton.language as tl

from dsr_kernels.triton_kernels.units import (
    INF_KEY,
    NAN_KEY,
    load_words,
    unit_keys,
    unit_words,
    unpack,
)

# Who the candidates are.
ACTIVE = tl.constexpr(0)
PRUNABLE = tl.constexpr(1)  # active and not NaN
INACTIVE = tl.constexpr(2)
FREE_FIRST = tl.constexpr(3)  # inactive; those that another mask has come last

# What a search leaves of each group, int64 columns: the rank of the k-th candidate; which of that
# rank it is, from 1, or 0 if nothing is selected; the unit before which equal ranks are selected.
STATE = tl.constexpr(3)
LEFT = tl.constexpr(1)
TIE = tl.constexpr(2)
ALL_TIES = tl.constexpr(1 << 62)
UNKNOWN = tl.constexpr(-1)
LOW = tl.constexpr(0xFFFFFFFF)


@triton.jit
def group_of(chunk, PER_LAYER: tl.constexpr):
    """The group that is searched together: the chunk's layer, or all layers."""
    return chunk.layer if PER_LAYER else chunk.layer * 0


@triton.jit
def chunks_of_group(group, chunk_first_ptr, chunk_count, PER_LAYER: tl.constexpr):
    """The group's first chunk and how many it has."""
    if PER_LAYER:
        first = tl.load(chunk_first_ptr + group)
        number = tl.load(chunk_first_ptr + group + 1) - first
    else:
        first = group
        number = group + chunk_count
    return first, number


@triton.jit
def ranks_of_tile(
    chunk,
    words_ptr,
    previous_ptr,
    begin,
    AMONG: tl.constexpr,
    LARGEST: tl.constexpr,
    GROUPED: tl.constexpr,
    WORDS: tl.constexpr,
    DTYPE: tl.constexpr,
):
    """A tile's ranks (uint32), which of its units are candidates, and the keys of these."""
    words = load_words(words_ptr, chunk, begin, WORDS)
    if AMONG == INACTIVE or AMONG == FREE_FIRST:  # noqa: SIM109 (Triton knows no tuple here)
        words = ~words & unit_words(chunk, begin, WORDS)
    keys = unit_keys(chunk, begin, words, GROUPED, WORDS, DTYPE)
    candidates = unpack(words)
    if AMONG == PRUNABLE:
        candidates &= keys != NAN_KEY
    order = keys
    if LARGEST:
        order = tl.where(keys == NAN_KEY, keys, -keys + INF_KEY)
    ranks = order.to(tl.uint32, bitcast=True)
    if AMONG == FREE_FIRST:
        before = unpack(load_words(previous_ptr, chunk, begin, WORDS))
        ranks |= before.to(tl.uint32) << 31
    return ranks, candidates, keys
