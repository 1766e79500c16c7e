"""Tile sizes of the product kernels: a table, so that nothing is tuned at import."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton.language as tl
from torch import Tensor

from dsr_kernels.triton_kernels import interpreted


@dataclass(frozen=True)
class Tiles:
    """A program's tile of the result is ``rows`` x ``columns``; it sums over ``depth`` at a time.

    In a weight's gradient ``rows`` are outputs and ``columns`` inputs.
    ``parts`` is the most programs that share one tile of a weight's gradient.
    """

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int
    parts: int = 64

    @property
    def options(self) -> dict[str, int]:
        return {"num_warps": self.warps, "num_stages": self.stages}


WANTED_PROGRAMS = 264  # two for each multiprocessor of an H200

# Not yet measured on a GPU.
_COMPILED = {
    2: Tiles(rows=128, columns=128, depth=64, warps=8, stages=3),
    4: Tiles(rows=64, columns=64, depth=32, warps=8, stages=2),
}
_GATHERED = {
    2: Tiles(rows=64, columns=64, depth=32, warps=8, stages=2),
    4: Tiles(rows=32, columns=32, depth=16, warps=4, stages=2),
}
_CONVOLUTION = _COMPILED | {4: Tiles(rows=64, columns=32, depth=32, warps=8, stages=2)}
_INTERPRETED = Tiles(rows=64, columns=64, depth=32, warps=1, stages=1, parts=2)


def tiles(dtype: torch.dtype, gathered: bool = False, convolution: bool = False) -> Tiles:
    """The tile sizes for operands of ``dtype``.

    Args:
        dtype: of the operands.
        gathered: whether places take registers of their own: see :func:`takes_registers`.
        convolution: whether the rows are positions, likewise.

    Raises:
        TypeError: the kernels do not take ``dtype``.
    """
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise TypeError(
            f"x: the Triton kernels take float32, bfloat16 and float16, got {dtype}; use another "
            "backend"
        )
    if interpreted():
        return _INTERPRETED
    table = _GATHERED if gathered else _CONVOLUTION if convolution else _COMPILED
    return table[dtype.itemsize]


def takes_registers(units: Sequence[int], structure: str) -> bool:
    """Whether places are divided by a group, looked up in an order, or counted in 64 bits."""
    return units[1] > 1 or structure == "channels" or offset_type(units) == tl.int64


def offset_type(units: Sequence[int]) -> tl.dtype:
    """The type of offsets into a weight: int32 wherever that is enough."""
    return tl.int64 if math.prod(units) >= 2**31 else tl.int32


def precision(dtype: torch.dtype, backend: object) -> str:
    """How float32 operands are multiplied: as torch's flags for ``backend`` say."""
    tf32 = getattr(backend, "fp32_precision", "ieee") == "tf32"
    return "tf32" if dtype == torch.float32 and tf32 else "ieee"


def split_rows(rows: int, programs: int, depth: int, most: int) -> tuple[int, int]:
    """How many programs share a tile of a weight's gradient, and how many rows each sums over.

    Enough to give every multiprocessor two, at least eight steps of ``depth`` rows each.
    """
    wanted = min(-(-WANTED_PROGRAMS // max(programs, 1)), rows // (8 * depth), most)
    if wanted <= 1:
        return 1, max(rows, 1)
    part_rows = -(-rows // (wanted * depth)) * depth
    return -(-rows // part_rows), part_rows


def add_parts(sums: Tensor, result: Tensor) -> Tensor:
    """The sum of the parts [parts, elements] into ``result``, which is dense in memory."""
    if sums is not result:
        result.as_strided((result.numel(),), (1,)).copy_(sums.sum(0))
    return result
