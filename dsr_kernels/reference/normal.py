"""Standard normal numbers from random 32-bit words: a table of quantiles, and lines between them.

``python -m dsr_kernels.reference.normal`` prints ``csrc/common/normal_table.h``, which holds the
same numbers for the kernels; a test compares the two.
"""

from __future__ import annotations

import math
import sys
from functools import cache
from itertools import pairwise
from statistics import NormalDist

import torch
from torch import Tensor

INTERVALS = 1024
FRACTION_BITS = 22  # a word is 10 bits of interval and 22 of place in it
ENTRIES_A_LINE = 6


def standard_normal(words: Tensor) -> Tensor:
    """A normal number of each word (int64, in [0, 2^32)), every operation rounded to float32."""
    entries = normal_table().to(words.device)
    interval = words >> FRACTION_BITS
    fraction = (words & ((1 << FRACTION_BITS) - 1)).to(torch.float32) * 2.0**-FRACTION_BITS
    low = entries[interval]
    return low + fraction * (entries[interval + 1] - low)


@cache
def normal_table() -> Tensor:
    """The interval borders: float32 [1025]."""
    return torch.tensor(quantiles(), dtype=torch.float64).to(torch.float32)


def quantiles() -> list[float]:
    """The quantiles of k / 1024, and ends instead of the two infinite ones.

    So the distribution function is exact at 1023 points. The mean is 0 by symmetry; the ends,
    +-3.62, are where they make the variance 1: a line between quantiles is too flat, and the ends
    cut the tails off. The kurtosis is 2.993, that of a normal number 3.
    """
    inner = [NormalDist().inv_cdf(k / INTERVALS) for k in range(1, INTERVALS)]
    # The mean square along a line from a to b is (a a + a b + b b) / 3.
    squares = math.fsum(a * a + a * b + b * b for a, b in pairwise(inner))
    last = inner[-1]
    wanted = (3 * INTERVALS - squares) / 2
    end = (math.sqrt(4 * wanted - 3 * last * last) - last) / 2
    return [-end, *inner, end]


def header() -> str:
    """``csrc/common/normal_table.h``: nine digits tell every float32 apart."""
    entries = [f"{value:#.9g}f" for value in normal_table().tolist()]
    lines = [
        "    " + ", ".join(entries[first : first + ENTRIES_A_LINE]) + ","
        for first in range(0, len(entries), ENTRIES_A_LINE)
    ]
    return _HEADER.format(size=len(entries), lines="\n".join(lines))


_HEADER = """\
// Written by python -m dsr_kernels.reference.normal, which says what the numbers are.
#pragma once

#include "common/host_device.h"

namespace dsr {{

// clang-format off
static DSR_DEVICE const float kNormalTable[{size}] = {{
{lines}
}};
// clang-format on

}}  // namespace dsr
"""

if __name__ == "__main__":
    sys.stdout.write(header())
