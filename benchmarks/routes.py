"""``python -m benchmarks.routes``: time the routes of the products on this GPU, and write which
was fastest into dsr_kernels/route_table.py. Rows of other GPUs stay."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import dsr_kernels
from dsr_kernels import BitMask, SparseLayout
from dsr_kernels.route_table import MEASURED, Measured
from dsr_kernels.routes import BACKEND_OF, STRUCTURES

TABLE = Path(__file__).parent.parent / "dsr_kernels/route_table.py"
ROWS = (16, 512, 2048, 8192, 32768)
WEIGHTS = ((1000, 2048), (2048, 2048), (8192, 2048), (4096, 4096))  # out, in
CONVOLUTIONS = ((64, 64, 3, 56), (256, 64, 1, 56), (512, 512, 3, 7))  # out, in, kernel, image
BATCH = 128
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
SPARSITY = 0.9
TILE = 128
Call = Callable[..., Tensor]


def mask_of(outs: int, ins: int, taps: int, structure: str) -> Tensor:
    """bool [outs, ins, taps] with a tenth of the weights: alone, in tiles, or as channels."""
    generator = torch.Generator().manual_seed(0)
    if structure == "unstructured":
        return torch.rand(outs, ins, taps, generator=generator) >= SPARSITY
    if structure == "tiles":
        blocks = torch.rand(-(-outs // TILE), -(-ins // TILE), taps, generator=generator)
        blocks = (blocks >= SPARSITY).repeat_interleave(TILE, 0).repeat_interleave(TILE, 1)
        return blocks[:outs, :ins]
    half = 1 - (1 - SPARSITY) ** 0.5
    rows, columns = (torch.rand(n, generator=generator) >= half for n in (outs, ins))
    return (rows[:, None] & columns[None, :])[:, :, None].expand(outs, ins, taps)


def problems(dtype: torch.dtype, structure: str) -> Iterator[tuple[str, int, Call, Call, Tensor]]:
    """Name, rows, ours, dense and the weight of each product; ours and dense take (x, weight)."""
    for outs, ins in WEIGHTS:
        flags = mask_of(outs, ins, 1, structure).flatten()
        for rows in ROWS:
            x = torch.randn(rows, ins, device="cuda", dtype=dtype, requires_grad=True)
            yield from _problem("masked_linear", rows, (outs, ins), flags, x, structure)
    for outs, ins, kernel, image in CONVOLUTIONS:
        flags = mask_of(outs, ins, kernel**2, structure).flatten()
        x = torch.randn(BATCH, ins, image, image, device="cuda", dtype=dtype)
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        shape = (outs, ins, kernel, kernel)
        yield from _problem("masked_conv2d", BATCH * image**2, shape, flags, x, structure)


def _problem(
    op: str, rows: int, shape: tuple[int, ...], flags: Tensor, x: Tensor, structure: str
) -> Iterator[tuple[str, int, Call, Call, Tensor]]:
    mask = BitMask.from_bools(SparseLayout.of_elements([len(flags)]), [flags]).to("cuda")
    weight = torch.randn(shape, device="cuda", dtype=x.dtype)
    dsr_kernels.apply_mask_([weight], mask)
    function = getattr(dsr_kernels, op)
    more: dict[str, Any] = {"padding": shape[-1] // 2} if len(shape) == 4 else {}
    dense = functional.conv2d if len(shape) == 4 else functional.linear

    def ours(w: Tensor) -> Tensor:
        result: Tensor = function(x, w, mask, structure=structure, **more)
        return result

    yield op, rows, ours, lambda w: dense(x, w, **more), weight.requires_grad_()


def microseconds(call: Call, weight: Tensor, grad: Tensor) -> float:
    """Median time of forward and backward."""
    from triton.testing import do_bench

    def step() -> None:
        call(weight).backward(grad)

    return 1e3 * float(do_bench(step, return_mode="median", grad_to_none=[weight]))


def measure() -> list[Measured]:
    gpu, found = torch.cuda.get_device_name(), []
    for dtype in DTYPES:
        for structure in STRUCTURES:
            tiled = "triton" if structure == "unstructured" else "triton-tiles"
            for op, rows, ours, dense, weight in problems(dtype, structure):
                grad = torch.randn_like(dense(weight))
                times = {}
                for route in ("library", tiled):
                    with dsr_kernels.backend(BACKEND_OF[route]):
                        times[route] = microseconds(ours, weight, grad)
                best = min(times, key=lambda route: times[route])
                ratio = round(microseconds(dense, weight, grad) / times[best], 3)
                kind = str(dtype).removeprefix("torch.")
                place = (gpu, op, kind, structure, rows, weight.numel())
                found.append(Measured(*place, best, ratio))
                print(*astuple(found[-1]), {k: round(v, 1) for k, v in times.items()}, flush=True)
    return found


def write(rows: list[Measured]) -> None:
    """Replace the rows of these GPUs in the table."""
    gpus = {row.gpu for row in rows}
    lines = [f"    {row!r},\n" for row in (*(r for r in MEASURED if r.gpu not in gpus), *rows)]
    table = f"MEASURED: tuple[Measured, ...] = (\n{''.join(lines)})\n"
    text = TABLE.read_text()
    TABLE.write_text(re.sub(r"MEASURED: .*", lambda _: table, text, flags=re.DOTALL))


def main() -> int:
    if not torch.cuda.is_available():
        print("benchmarks.routes: torch sees no CUDA device", file=sys.stderr)
        return 2
    write(measure())
    return 0


if __name__ == "__main__":
    sys.exit(main())
