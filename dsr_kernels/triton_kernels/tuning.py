"""Block sizes and warps of the Triton kernels: a table, so that nothing is tuned at import.

Elements a program handles are a trade: small blocks fill a GPU on small layers, large ones save
the interpreter, which takes about a millisecond a program whatever its size.
"""

from __future__ import annotations

from dataclasses import dataclass

from dsr_kernels.triton_kernels import interpreted


@dataclass(frozen=True)
class Tuning:
    """``block``: elements a program; ``warps``: warps a program."""

    block: int
    warps: int


# Not yet measured on a GPU.
_COMPILED = {"apply_mask_": Tuning(block=4096, warps=4)}
_INTERPRETED = {"apply_mask_": Tuning(block=4096, warps=1)}


def tuning(op: str) -> Tuning:
    """The launch parameters of one op's kernel."""
    return (_INTERPRETED if interpreted() else _COMPILED)[op]
