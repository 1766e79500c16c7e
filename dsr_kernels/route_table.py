"""Which route was fastest, measured. Written by ``python -m benchmarks.routes``, not by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """The fastest route of one product at one place.

    Attributes:
        gpu: as ``torch.cuda.get_device_name`` says it.
        op, part, dtype, structure: as :func:`dsr_kernels.routes.choose_route` takes them.
        rows, weight, stride: likewise.
        route: the fastest.
        speedup: the time of pre-masked dense over that of ``route``.
    """

    gpu: str
    op: str
    part: str
    dtype: str
    structure: str
    rows: int
    weight: tuple[int, ...]
    stride: int
    route: str
    speedup: float


MEASURED: tuple[Measured, ...] = ()
