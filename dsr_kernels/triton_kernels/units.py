"""The units a program works on: its chunk, their mask bits and their keys.

Units come as tiles [WORDS, 32]: row w holds the units of mask word w, column j those of bit j.
Where units are elements, a strip of 16 bytes is one load, left out where no bit of it is wanted;
a tensor that is not aligned and the last tile of a layer are loaded element by element. Groups
are read a few units at a time, their 32 partial sums in the registers of one thread.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from dsr_kernels.layout import TABLE_COLUMNS
from dsr_kernels.triton_kernels.pointers import LAYER_COLUMNS, MIXED_CODE

WORD = tl.constexpr(32)
INF_KEY = tl.constexpr(0x7F800000)
NAN_KEY = tl.constexpr(0x7FFFFFFF)
MAGNITUDE = tl.constexpr(0x7FFFFFFF)  # all but the sign
PARTIAL_SUMS = tl.constexpr(32)
GROUP_UNITS = tl.constexpr(128)  # groups a program reads together: mostly one a thread
LAYER = tl.constexpr(TABLE_COLUMNS)
ENTRY = tl.constexpr(LAYER_COLUMNS)

# dsr_kernels.extension.DTYPE_CODES; MIXED: read each layer's code from the table.
FLOAT32 = tl.constexpr(0)
BFLOAT16 = tl.constexpr(1)
FLOAT16 = tl.constexpr(2)
MIXED = tl.constexpr(MIXED_CODE)
# bfloat16 is read as its bits: the upper half of a float32.
STORED_TYPES = tl.constexpr((tl.int32, tl.int16, tl.float16))


class Chunk(NamedTuple):
    """A chunk inside a kernel: units [begin, end) of one layer."""

    layer: Any
    begin: Any
    end: Any
    units: Any  # of the layer
    unit_size: Any
    inner: Any
    word_offset: Any
    unit_offset: Any
    data: Any  # address of the layer's tensor
    code: Any  # its dtype
    reciprocal: Any  # float32(1 / unit_size)


@triton.jit
def read_chunk(
    number,
    entries_ptr,  # int64 [layers, ENTRY], see pointers.layer_table
    layout_ptr,  # int64 [layers, LAYER]
    chunk_layer_ptr,  # int32 [chunks]
    chunk_first_ptr,  # int64 [layers + 1]
    CHUNK: tl.constexpr,
):
    """Chunk ``number`` of CHUNK units; the tables are those of ``dsr_kernels.chunks``."""
    layer = tl.load(chunk_layer_ptr + number).to(tl.int64)
    row_ptr = layout_ptr + layer * LAYER
    entry_ptr = entries_ptr + layer * ENTRY
    inner = tl.load(row_ptr + 2)
    units = tl.load(row_ptr) * inner
    begin = (number - tl.load(chunk_first_ptr + layer)) * CHUNK
    return Chunk(
        layer,
        begin,
        tl.minimum(begin + CHUNK, units),
        units,
        tl.load(row_ptr + 1),
        inner,
        tl.load(row_ptr + 3),
        tl.load(row_ptr + 4),
        tl.load(entry_ptr),
        tl.load(entry_ptr + 1),
        tl.load(entry_ptr + 2).to(tl.int32).to(tl.float32, bitcast=True),
    )


@triton.jit
def load_words(words_ptr, chunk, begin, WORDS: tl.constexpr):
    """The mask words of the units from ``begin`` on, 0 past the layer: int32 [WORDS]."""
    words = begin // WORD + tl.arange(0, WORDS)
    return tl.load(words_ptr + chunk.word_offset + words, mask=words * WORD < chunk.units, other=0)


@triton.jit
def unit_words(chunk, begin, WORDS: tl.constexpr):
    """The bits that stand for units, not for padding: int32 [WORDS]."""
    left = chunk.units - begin - tl.arange(0, WORDS) * WORD
    left = tl.minimum(tl.maximum(left, 0), WORD).to(tl.int32)
    partial = (1 << (left % WORD)) - 1
    return tl.where(left == WORD, -1, partial)


@triton.jit
def unpack(words):
    """Words [WORDS] as a tile of bools."""
    return ((words[:, None] >> tl.arange(0, WORD)[None, :]) & 1) != 0


@triton.jit
def pack(bits):
    """A tile of bools as words: int32 [WORDS]."""
    return tl.sum(bits.to(tl.int32) << tl.arange(0, WORD)[None, :], axis=1)


@triton.jit
def tile_numbers(WORDS: tl.constexpr):
    """The number of each unit of a tile, from 0: int32."""
    return tl.arange(0, WORDS)[:, None] * WORD + tl.arange(0, WORD)[None, :]


@triton.jit
def unit_keys(
    chunk, begin, wanted, GROUPED: tl.constexpr, WORDS: tl.constexpr, DTYPE: tl.constexpr
):
    """The keys of the units from ``begin`` on, int32, where the bits of ``wanted`` are set.

    Other units have any key. ``wanted`` (int32 [WORDS]) has no bits past the layer.

    DTYPE is the dtype code of all tensors, or MIXED. GROUPED must equal ``unit_size > 1``.
    """
    if DTYPE != MIXED:
        keys = _keys_of(chunk, begin, wanted, GROUPED, WORDS, DTYPE)
    elif chunk.code == FLOAT32:
        keys = _keys_of(chunk, begin, wanted, GROUPED, WORDS, FLOAT32)
    elif chunk.code == BFLOAT16:
        keys = _keys_of(chunk, begin, wanted, GROUPED, WORDS, BFLOAT16)
    else:
        keys = _keys_of(chunk, begin, wanted, GROUPED, WORDS, FLOAT16)
    return tl.where(keys > INF_KEY, NAN_KEY, keys)


@triton.jit
def element_values(chunk, begin, wanted, WORDS: tl.constexpr, DTYPE: tl.constexpr):
    """The elements' bits as float32, int32, where units are elements; ``wanted`` as above."""
    if DTYPE != MIXED:
        values = _element_bits(chunk, begin, wanted, WORDS, DTYPE)
    elif chunk.code == FLOAT32:
        values = _element_bits(chunk, begin, wanted, WORDS, FLOAT32)
    elif chunk.code == BFLOAT16:
        values = _element_bits(chunk, begin, wanted, WORDS, BFLOAT16)
    else:
        values = _element_bits(chunk, begin, wanted, WORDS, FLOAT16)
    return values


@triton.jit
def _keys_of(chunk, begin, wanted, GROUPED: tl.constexpr, WORDS: tl.constexpr, CODE: tl.constexpr):
    if GROUPED:
        return _group_magnitudes(chunk, begin, wanted, WORDS, CODE)
    return _element_bits(chunk, begin, wanted, WORDS, CODE) & MAGNITUDE


@triton.jit
def _float_bits(stored, CODE: tl.constexpr):
    """The bits of a value as float32."""
    if CODE == FLOAT32:
        bits = stored
    elif CODE == BFLOAT16:
        bits = stored.to(tl.int32) << 16
    else:
        bits = stored.to(tl.float32).to(tl.int32, bitcast=True)
    return bits


@triton.jit
def _element_bits(chunk, begin, wanted, WORDS: tl.constexpr, CODE: tl.constexpr):
    STORED: tl.constexpr = STORED_TYPES[CODE]
    BYTES: tl.constexpr = 4 if CODE == FLOAT32 else 2
    STRIP: tl.constexpr = 16 // BYTES
    address = chunk.data + begin * BYTES
    bits = tl.arange(0, WORD)[None, :]
    offsets = tile_numbers(WORDS)
    if (address % 16 == 0) & (begin + WORDS * WORD <= chunk.units):
        strip = (wanted[:, None] >> (bits // STRIP * STRIP)) & ((1 << STRIP) - 1)
        strip_wanted = tl.max_constancy(strip != 0, [1, STRIP])
        strips_ptr = tl.multiple_of(address.to(tl.pointer_type(STORED)) + offsets, [1, 16])
        stored = tl.load(strips_ptr, mask=strip_wanted, other=0)
    else:
        stored = tl.load(address.to(tl.pointer_type(STORED)) + offsets, unpack(wanted), other=0)
    return _float_bits(stored, CODE)


@triton.jit
def first_elements(chunk, units):
    """The offset of each unit's first element; the others follow ``inner`` elements apart."""
    if chunk.inner == 1:
        offsets = units * chunk.unit_size
    else:
        offsets = units // chunk.inner * (chunk.unit_size * chunk.inner) + units % chunk.inner
    return offsets


@triton.jit
def _group_magnitudes(chunk, begin, wanted, WORDS: tl.constexpr, CODE: tl.constexpr):
    UNITS: tl.constexpr = WORDS * WORD
    data_ptr = chunk.data.to(tl.pointer_type(STORED_TYPES[CODE]))
    wanted_units = tl.reshape(unpack(wanted), [1, UNITS])
    first = first_elements(chunk, begin + tl.arange(0, UNITS))[None, :]
    # Loaded as one row of numbers, which every Triton deals to threads so that each has the partial
    # sums of one unit. A tile [PARTIAL_SUMS, UNITS] Triton 3.6 deals the other way, to a thread one
    # sum of 32 units, whose addresses alone take 64 registers.
    sums = tl.zeros([PARTIAL_SUMS * UNITS], tl.float32)
    for row in range(0, chunk.unit_size, PARTIAL_SUMS):
        element = row + tl.arange(0, PARTIAL_SUMS).to(tl.int64)[:, None]
        inside = wanted_units & (element < chunk.unit_size)
        element_ptrs = tl.ravel(data_ptr + first + element * chunk.inner)
        stored = tl.load(element_ptrs, mask=tl.ravel(inside), other=0)
        sums += (_float_bits(stored, CODE) & MAGNITUDE).to(tl.float32, bitcast=True)
    # One addition each: p and p + 16, then p and p + 8, ...
    sums = tl.sum(tl.reshape(sums, [2, 16, UNITS]), axis=0)
    sums = tl.sum(tl.reshape(sums, [2, 8, UNITS]), axis=0)
    sums = tl.sum(tl.reshape(sums, [2, 4, UNITS]), axis=0)
    sums = tl.sum(tl.reshape(sums, [2, 2, UNITS]), axis=0)
    mean = tl.sum(sums, axis=0) * chunk.reciprocal
    return tl.reshape(mean.to(tl.int32, bitcast=True), [WORDS, WORD])
