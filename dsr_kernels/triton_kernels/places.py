"""Places where units may grow: counting them, numbering them, drawing some and finding them again.

There are two kinds a layer, free places (0) and those just pruned (1); ranks go to free ones first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from dsr_kernels.layout import TABLE_COLUMNS
from dsr_kernels.triton_kernels.bijection import ROUNDS, permute
from dsr_kernels.triton_kernels.bits import nth_set_bit, popcount
from dsr_kernels.triton_kernels.philox import random_words

SPAN_UNITS = 256  # whose places are counted together
KEYS = 12
WORD = tl.constexpr(32)
SPAN = tl.constexpr(SPAN_UNITS // 32)
LAYER = tl.constexpr(TABLE_COLUMNS)
TILE = tl.constexpr(512)  # chunks, or layers, that are numbered at a time
KEY_LAYERS = tl.constexpr(16)  # layers whose round keys are made at a time
FALLBACK = tl.constexpr(0x8000)  # added to the purpose of a draw among just pruned places


class Net(NamedTuple):
    """The layers and their chunks inside a kernel, see ``dsr_kernels.chunks``."""

    layout: Any  # int64 [layers, LAYER]
    chunk_layer: Any  # int32 [chunks]
    first: Any  # int64 [layers + 1]
    layers: Any
    chunks: Any
    total_words: Any
    layer_steps: Any  # 2 ** layer_steps >= layers, and so on: steps of a binary search
    chunk_steps: Any
    span_steps: Any


class Scratch(NamedTuple):
    """What one phase of a kernel writes down for the next; no initial value is needed."""

    places: Any  # int32 [2, total_words]: a bit for each place of a kind
    spans: Any  # int32 [2, chunks, spans a chunk]: places in the chunk before each span
    numbers: Any  # int64 [2, chunks + 1]: places before each chunk
    # int64 [layers + 1], the ranks before each layer; [layers], those that go to free places.
    ranks: Any
    keys: Any  # int32 [2, layers, KEYS]: round keys


@triton.jit
def write_keys(net, scratch, start, seed_low, seed_high, purpose, reallocation_ptr):
    """The round keys of KEY_LAYERS layers: the words of Philox at index 0, 1, 2, for each kind."""
    lane = tl.arange(0, KEY_LAYERS * 8)
    layer, kind, index = start + lane // 8, lane // 4 % 2, lane % 4
    purposes = purpose + kind * FALLBACK
    reallocation = tl.load(reallocation_ptr)
    words = random_words(index.to(tl.int64), seed_low, seed_high, purposes, layer, reallocation)
    out_ptr = scratch.keys + (kind * net.layers + layer) * ROUNDS + index * 4
    inside = (layer < net.layers) & (index < ROUNDS // 4)
    for j in tl.static_range(4):
        tl.store(out_ptr + j, words[j].to(tl.int32, bitcast=True), mask=inside)


@triton.jit
def _unit_words(index, units):
    """The bits of a layer's words that stand for units, not for padding: int32."""
    left = tl.minimum(tl.maximum(units - index * WORD, 0), WORD).to(tl.int32)
    return tl.where(left == WORD, -1, (1 << (left % WORD)) - 1)


@triton.jit
def count_places(net, scratch, chunk, words_ptr, previous_ptr, BLOCK: tl.constexpr):
    """Writes down the places of a chunk of BLOCK units, and how many there are."""
    SPANS: tl.constexpr = BLOCK // WORD // SPAN
    layer = tl.load(net.chunk_layer + chunk).to(tl.int64)
    row_ptr = net.layout + layer * LAYER
    units = tl.load(row_ptr) * tl.load(row_ptr + 2)
    layer_words = (units + 4 * WORD - 1) // (4 * WORD) * 4
    spans = tl.arange(0, SPANS)
    index = spans[:, None] * SPAN + tl.arange(0, SPAN)[None, :]
    index += (chunk - tl.load(net.first + layer)) * (BLOCK // WORD)
    inside = index < layer_words
    at = tl.multiple_of(tl.load(row_ptr + 3), 4) + index
    active = tl.load(words_ptr + at, mask=inside, other=-1)
    before = tl.load(previous_ptr + at, mask=inside, other=0)
    inactive = ~active & _unit_words(index, units)
    for kind in tl.static_range(2):
        places = inactive & (before if kind else ~before)
        places_ptr = scratch.places + kind * net.total_words.to(tl.int64) + at
        tl.store(places_ptr, places, mask=inside)
        found = tl.sum(popcount(places.to(tl.uint32, bitcast=True)), axis=1)
        spans_ptr = scratch.spans + (kind * net.chunks + chunk) * SPANS
        tl.store(spans_ptr + spans, tl.cumsum(found, axis=0) - found)
        number_ptr = scratch.numbers + kind * (net.chunks + 1) + 1 + chunk
        tl.store(number_ptr, tl.sum(found, axis=0).to(tl.int64))


@triton.jit
def number_places(net, scratch):
    """Adds up the counts of the chunks: each becomes the places before the next chunk."""
    for kind in range(2):
        numbers_ptr = scratch.numbers + kind * (net.chunks + 1)
        before = tl.full([], 0, tl.int64)
        tl.store(numbers_ptr, before)
        for start in range(0, net.chunks, TILE):
            chunk = start + tl.arange(0, TILE)
            inside = chunk < net.chunks
            own_ptr = numbers_ptr + 1 + chunk
            own = tl.load(own_ptr, mask=inside, other=0, cache_modifier=".cg")
            tl.store(own_ptr, before + tl.cumsum(own, axis=0), mask=inside)
            before += tl.sum(own, axis=0)


@triton.jit
def _places_of(net, scratch, kind, layer, inside):
    numbers_ptr = scratch.numbers + kind * (net.chunks + 1)
    begin = tl.load(net.first + layer, mask=inside, other=0)
    end = tl.load(net.first + layer + 1, mask=inside, other=0)
    return tl.load(numbers_ptr + end) - tl.load(numbers_ptr + begin)


@triton.jit
def number_ranks(net, scratch, counts_ptr, grown_ptr):
    """Decides how many places each layer draws, and numbers the draws over all layers."""
    ranks_ptr = scratch.ranks
    from_free_ptr = ranks_ptr + net.layers + 1
    before = tl.full([], 0, tl.int64)
    tl.store(ranks_ptr, before)
    for start in range(0, net.layers, TILE):
        layer = start + tl.arange(0, TILE)
        inside = layer < net.layers
        free = _places_of(net, scratch, 0, layer, inside)
        pruned = _places_of(net, scratch, 1, layer, inside)
        wanted = tl.maximum(tl.load(counts_ptr + layer, mask=inside, other=0), 0)
        grown = tl.minimum(wanted, free + pruned)
        tl.store(grown_ptr + layer, grown, mask=inside)
        tl.store(ranks_ptr + 1 + layer, before + tl.cumsum(grown, axis=0), mask=inside)
        tl.store(from_free_ptr + layer, tl.minimum(wanted, free), mask=inside)
        before += tl.sum(grown, axis=0)


@triton.jit
def _last_not_above(sorted_ptr, low, high, wanted, steps):
    """Where the last of the numbers in [low, high) lies that is not above ``wanted``."""
    for _ in range(steps):
        middle = (low + high) // 2
        reached = tl.load(sorted_ptr + middle) <= wanted
        low = tl.where(reached, middle, low)
        high = tl.where(reached, high, middle)
    return low


@triton.jit
def draw_places(net, scratch, rank):
    """The layer, the kind and the place, among all of that kind, that each rank draws."""
    none = (rank * 0).to(tl.int32)
    layer = _last_not_above(scratch.ranks, none, none + net.layers, rank, net.layer_steps)
    rank -= tl.load(scratch.ranks + layer)
    from_free = tl.load(scratch.ranks + net.layers + 1 + layer)
    kind = (rank >= from_free).to(tl.int32)
    rank -= tl.where(kind == 1, from_free, 0)
    numbers_ptr = scratch.numbers + kind * (net.chunks + 1)
    first = tl.load(numbers_ptr + tl.load(net.first + layer))
    size = tl.load(numbers_ptr + tl.load(net.first + layer + 1)) - first
    network = kind * net.layers + layer
    place = permute(rank, size, scratch.keys + network * ROUNDS)
    return layer, kind, first + place


@triton.jit
def find_bits(net, scratch, layer, kind, place, BLOCK: tl.constexpr):
    """The mask word, int64, and the bit of each place."""
    SPANS: tl.constexpr = BLOCK // WORD // SPAN
    numbers_ptr = scratch.numbers + kind * (net.chunks + 1)
    begin = tl.load(net.first + layer).to(tl.int32)
    end = tl.load(net.first + layer + 1).to(tl.int32)
    chunk = _last_not_above(numbers_ptr, begin, end, place, net.chunk_steps)
    left = (place - tl.load(numbers_ptr + chunk)).to(tl.int32)
    spans_ptr = scratch.spans + (kind * net.chunks + chunk) * SPANS
    none = left * 0
    span = _last_not_above(spans_ptr, none, none + SPANS, left, net.span_steps)
    left -= tl.load(spans_ptr + span)
    first = tl.load(net.layout + layer * LAYER + 3) + (chunk - begin).to(tl.int64) * (BLOCK // WORD)
    first += span * SPAN
    index = tl.arange(0, SPAN)[None, :]
    at = tl.multiple_of(first, 4)[:, None] + index
    places_ptr = scratch.places + kind.to(tl.int64)[:, None] * net.total_words + at
    # A span may reach past the mask.
    words = tl.load(places_ptr, mask=at < net.total_words, other=0)
    found = popcount(words.to(tl.uint32, bitcast=True))
    before = tl.cumsum(found, axis=1) - found
    here = (before <= left[:, None]) & (left[:, None] < before + found)
    word = tl.sum(tl.where(here, words, 0), axis=1).to(tl.uint32, bitcast=True)
    bit = nth_set_bit(word, left - tl.sum(tl.where(here, before, 0), axis=1))
    return first + tl.sum(tl.where(here, index, 0), axis=1), bit
