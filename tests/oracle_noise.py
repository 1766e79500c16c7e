"""add_noise_ once more in Python, written without the package: its table is that of the kernels."""

import math
import re
import struct
from pathlib import Path

import numpy as np
import oracle_random

HEADER = Path(__file__).parent.parent / "csrc/common/normal_table.h"
ROWS = re.search(r"= \{\n(.*?)\};", HEADER.read_text(), re.DOTALL)[1]
TABLE = [np.float32(entry.rstrip("f")) for entry in ROWS.replace(",", " ").split()]


def normal(word):
    interval, place = divmod(word, 1 << 22)
    low, high = TABLE[interval], TABLE[interval + 1]
    return low + np.float32(place / (1 << 22)) * (high - low)


def to_float16(value):
    try:
        return struct.unpack("<e", struct.pack("<e", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def to_bfloat16(value):
    """The nearer of the two neighbours, the even one in the middle; by integers."""
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    low, rest = divmod(bits, 1 << 16)
    up = rest > 0x8000 or (rest == 0x8000 and low % 2 == 1)
    return struct.unpack("<f", struct.pack("<I", (low + up) << 16))[0]


ROUND = {"float32": float, "float16": to_float16, "bfloat16": to_bfloat16}


def add_noise(layers, scale, seed, counter, purpose, dtype):
    """``layers`` as in the other oracle; their values change."""
    for number, layer in enumerate(layers):
        for unit, bit in enumerate(layer.bits):
            for element in layer.elements(unit) if bit else ():
                index, word = divmod(element, 4)
                drawn = oracle_random.words(index, seed, purpose, number, counter)[word]
                with np.errstate(over="ignore", invalid="ignore"):
                    noise = np.float32(scale[number]) * normal(drawn)
                    total = float(np.float32(layer.values[element]) + noise)
                if not math.isnan(total):
                    layer.values[element] = ROUND[dtype](total)
