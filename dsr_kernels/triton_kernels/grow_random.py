"""grow_random_ in Triton: the first ranks of a keyed bijection over each layer's places, activated.

A program takes a ticket. The first ones count: they write down which units are places, free ones
and just pruned ones apart, and how many lie before every 256 units of their chunk. The last of
them numbers the places of all chunks and the ranks of all layers. The other programs wait for
that; then each sends ranks through the bijection, looks up where their places lie and sets the
bits. A program that waits took its ticket after all that count, which therefore run: no deadlock,
however few programs the GPU holds at a time.

Moves: two bits a unit in and two out; for each unit grown about 200 bytes, most of them cached.
One launch, no sort. The set of units depends neither on the order of the tickets nor on that of
the ranks.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dsr_kernels.chunks import chunks
from dsr_kernels.triton_kernels.philox import seed_halves
from dsr_kernels.triton_kernels.places import (
    KEY_LAYERS,
    KEYS,
    SPAN_UNITS,
    Net,
    Scratch,
    count_places,
    draw_places,
    find_bits,
    number_places,
    number_ranks,
    write_keys,
)
from dsr_kernels.triton_kernels.tuning import tuning
from dsr_kernels.workspace import counters

# Counters, each on a cache line of its own: those who wait must not slow down those who count.
TICKETS = tl.constexpr(0)
COUNTED = tl.constexpr(32)
READY = tl.constexpr(64)
PLACED = tl.constexpr(96)
COUNTERS = 128


@triton.jit
def _wait(counters_ptr):
    ready = tl.atomic_add(counters_ptr + READY, 0, sem="acquire", scope="gpu")
    while ready == 0:
        ready = tl.atomic_add(counters_ptr + READY, 0, sem="acquire", scope="gpu")


@triton.jit
def _place(net, scratch, words_ptr, program, programs, BLOCK: tl.constexpr, RANKS: tl.constexpr):
    """Activates the units of every ``programs``-th batch of RANKS ranks."""
    total = tl.load(scratch.ranks + net.layers)
    for start in range((program * RANKS).to(tl.int64), total, (programs * RANKS).to(tl.int64)):
        rank = start + tl.arange(0, RANKS)
        inside = rank < total
        # Each of the others does once more what the last rank does: a rank too large would walk
        # for ever.
        layer, kind, place = draw_places(net, scratch, tl.minimum(rank, total - 1))
        word, bit = find_bits(net, scratch, layer, kind, place, BLOCK)
        tl.atomic_or(words_ptr + word, 1 << bit, mask=inside, sem="relaxed", scope="gpu")


@triton.jit(
    do_not_specialize=[
        *("seed_low", "seed_high", "purpose", "total_words", "layers", "chunks"),
        *("counting", "placing", "layer_steps", "chunk_steps", "span_steps"),
    ]
)
def grow_random_kernel(
    words_ptr,  # int32 [total_words]
    previous_ptr,  # int32 [total_words]
    layout_ptr,  # int64 [layers, 5]
    chunk_layer_ptr,  # int32 [chunks]
    first_ptr,  # int64 [layers + 1]
    counts_ptr,  # int64 [layers]
    reallocation_ptr,  # int64 [1]
    grown_ptr,  # int64 [layers]
    counters_ptr,  # int32 [COUNTERS], 0 before and after
    places_ptr,  # the rest is scratch: see places.Scratch
    spans_ptr,
    numbers_ptr,
    ranks_ptr,
    keys_ptr,
    seed_low,
    seed_high,
    purpose,
    total_words,
    layers,
    chunks,
    counting,  # programs that count
    placing,  # programs that place
    layer_steps,
    chunk_steps,
    span_steps,
    BLOCK: tl.constexpr,  # units a chunk
    RANKS: tl.constexpr,
):
    net = Net(
        *(layout_ptr, chunk_layer_ptr, first_ptr, layers, chunks, total_words),
        *(layer_steps, chunk_steps, span_steps),
    )
    scratch = Scratch(places_ptr, spans_ptr, numbers_ptr, ranks_ptr, keys_ptr)
    ticket = tl.atomic_add(counters_ptr + TICKETS, 1, sem="relaxed", scope="gpu")
    if ticket < counting:
        for start in range(ticket * KEY_LAYERS, layers, counting * KEY_LAYERS):
            write_keys(net, scratch, start, seed_low, seed_high, purpose, reallocation_ptr)
        for chunk in range(ticket, chunks, counting):
            count_places(net, scratch, chunk, words_ptr, previous_ptr, BLOCK)
        tl.debug_barrier()
        done = tl.atomic_add(counters_ptr + COUNTED, 1, sem="acq_rel", scope="gpu")
        if done == counting - 1:
            number_places(net, scratch)
            tl.debug_barrier()
            number_ranks(net, scratch, counts_ptr, grown_ptr)
            tl.debug_barrier()
            tl.atomic_xchg(counters_ptr + READY, 1, sem="release", scope="gpu")
    else:
        _wait(counters_ptr)
        _place(net, scratch, words_ptr, ticket - counting, placing, BLOCK, RANKS)
        done = tl.atomic_add(counters_ptr + PLACED, 1, sem="relaxed", scope="gpu")
        if done == placing - 1:
            # Every program has its ticket, and none waits any more.
            line = tl.arange(0, 4) * 32
            tl.store(counters_ptr + line, line * 0)


def grow_random_(
    words: Tensor,
    previous: Tensor,
    table: Tensor,
    counts: Tensor,
    seed: int,
    reallocation: Tensor,
    purpose: int,
) -> Tensor:
    grown = torch.empty_like(counts)
    layers = len(counts)
    if layers == 0:
        return grown
    config = tuning("grow_random_")
    plan = chunks(table, config.block)
    counting = min(plan.number, config.programs)
    # At least one, which clears the counters, even if no layer has a unit.
    placing = max(1, min(-(-words.numel() * 32 // config.ranks), config.programs))
    spans = plan.number * (config.block // SPAN_UNITS)
    with torch.cuda.device_of(words):
        grow_random_kernel[(counting + placing,)](
            words,
            previous,
            table,
            plan.layer,
            plan.first,
            counts,
            reallocation,
            grown,
            counters(words, "grow_random_", COUNTERS),
            words.new_empty(2 * words.numel()),
            words.new_empty(2 * spans),
            table.new_empty(2 * (plan.number + 1)),
            table.new_empty(2 * layers + 1),
            words.new_empty(2 * layers * KEYS),
            *seed_halves(seed),
            purpose,
            words.numel(),
            layers,
            plan.number,
            counting,
            placing,
            (layers - 1).bit_length(),
            (plan.number - 1).bit_length(),
            (config.block // SPAN_UNITS - 1).bit_length(),
            BLOCK=config.block,
            RANKS=config.ranks,
            num_warps=config.warps,
        )
    return grown
