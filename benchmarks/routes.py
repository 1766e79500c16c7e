"""Times the routes of the masked products, forward and backward apart, and writes which was fastest
into dsr_kernels/route_table.py, or with --out into a file of that name there. Rows of other GPUs
and of places not reached stay. On a CPU there is nothing to choose: small products, to try this.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import dsr_kernels
from benchmarks.ours import backends
from benchmarks.run import DEVICES, Parser, make_folder
from dsr_kernels import BitMask, SparseLayout
from dsr_kernels.route_table import MEASURED, Measured
from dsr_kernels.routes import PARTS, STRUCTURES

TABLE = Path(__file__).parent.parent / "dsr_kernels/route_table.py"
SPARSITY = 0.9
TILE = 128
Call = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Sizes:
    """What is timed: rows by linear weights [out, in], and convolutions of a batch of images.

    A convolution is out, in, kernel, stride and image.
    """

    rows: tuple[int, ...]
    weights: tuple[tuple[int, int], ...]
    convolutions: tuple[tuple[int, int, int, int, int], ...]
    batch: int
    dtypes: tuple[torch.dtype, ...]


SIZES = {
    "cuda": Sizes(
        rows=(8192, 512, 2048, 16, 32768),
        weights=((8192, 2048), (2048, 8192), (2048, 2048), (4096, 4096), (1000, 2048)),
        convolutions=(
            *((64, 64, 3, 1, 56), (256, 64, 1, 1, 56), (512, 512, 3, 1, 7)),
            *((128, 128, 3, 2, 56), (256, 256, 3, 1, 16), (32, 32, 3, 1, 32)),
        ),
        batch=128,
        dtypes=(torch.bfloat16, torch.float16, torch.float32),
    ),
    "cpu": Sizes((16,), ((32, 48),), ((8, 4, 3, 2, 9),), 2, (torch.float32,)),
}


@dataclass
class Problem:
    """One product on a weight: ``ours`` and ``dense`` take the weight, x is held."""

    op: str
    rows: int
    stride: int
    x: Tensor
    weight: Tensor
    ours: Call
    dense: Call


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


def problems(
    device: torch.device, sizes: Sizes, dtype: torch.dtype, structure: str
) -> Iterator[Problem]:
    for outs, ins in sizes.weights:
        for rows in sizes.rows:
            x = torch.randn(rows, ins, device=device, dtype=dtype)
            yield _problem("masked_linear", (outs, ins), x, structure)
    for outs, ins, kernel, stride, image in sizes.convolutions:
        x = torch.randn(sizes.batch, ins, image, image, device=device, dtype=dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        shape = (outs, ins, kernel, kernel)
        yield _problem("masked_conv2d", shape, x, structure, stride)


def _problem(
    op: str, shape: tuple[int, ...], x: Tensor, structure: str, stride: int = 1
) -> Problem:
    flags = mask_of(*shape[:2], torch.Size(shape[2:]).numel(), structure).flatten()
    mask = BitMask.from_bools(SparseLayout.of_elements([len(flags)]), [flags]).to(x.device)
    weight = torch.randn(shape, device=x.device, dtype=x.dtype)
    dsr_kernels.apply_mask_([weight], mask)
    x.requires_grad_()
    function = getattr(dsr_kernels, op)
    conv = len(shape) == 4
    more: dict[str, Any] = {"padding": shape[-1] // 2, "stride": stride} if conv else {}
    dense = functional.conv2d if conv else functional.linear

    def ours(w: Tensor) -> Tensor:
        result: Tensor = function(x, w, mask, structure=structure, **more)
        return result

    def theirs(w: Tensor) -> Tensor:
        return dense(x, w, **more)

    outputs = theirs(weight).numel() // shape[0]
    return Problem(op, outputs, stride, x, weight.requires_grad_(), ours, theirs)


def microseconds(problem: Problem, call: Call) -> dict[str, float]:
    """Median times of forward and of backward."""
    output = call(problem.weight)
    grad = torch.randn_like(output)

    def backward() -> None:
        torch.autograd.grad(output, (problem.x, problem.weight), grad, retain_graph=True)

    medians = (_median(lambda: call(problem.weight), output), _median(backward, output))
    return dict(zip(PARTS, medians, strict=True))


def _median(call: Callable[[], object], like: Tensor) -> float:
    if like.is_cuda:
        from triton.testing import do_bench

        return 1e3 * float(do_bench(call, warmup=5, rep=20, return_mode="median"))
    times = []
    for _ in range(10):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e6 * statistics.median(times)


def measure(device: torch.device, sizes: Sizes, minutes: float) -> list[Measured]:
    """The fastest routes, a row a part; no product begins after ``minutes``."""
    deadline = time.monotonic() + 60 * minutes
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    found: list[Measured] = []
    for dtype in sizes.dtypes:
        for structure in STRUCTURES:
            for problem in problems(device, sizes, dtype, structure):
                if time.monotonic() > deadline:
                    print("out of time: the products that follow are left out", flush=True)
                    return found
                found += _fastest(problem, gpu, structure)
    return found


def _fastest(problem: Problem, gpu: str, structure: str) -> Iterator[Measured]:
    tiled = "triton" if structure == "unstructured" else "triton-tiles"
    times = {}
    for name in backends(problem.x.device, [problem.op]):
        with dsr_kernels.backend(name):
            route = tiled if name == "triton" else name
            times[route] = microseconds(problem, problem.ours)
    dense = microseconds(problem, problem.dense)
    kind = str(problem.x.dtype).removeprefix("torch.")
    shape = tuple(problem.weight.shape)
    for part in PARTS:
        best = min(times, key=lambda route: times[route][part])
        row = Measured(
            *(gpu, problem.op, part, kind, structure, problem.rows, shape, problem.stride, best),
            round(dense[part] / times[best][part], 3),
        )
        print(*astuple(row), {name: round(of[part], 1) for name, of in times.items()}, flush=True)
        yield row


def write(rows: Sequence[Measured], path: Path) -> None:
    """The table with these rows, in place of those of the same products, in a file."""
    places = {astuple(row)[:-2] for row in rows}
    kept = [row for row in MEASURED if astuple(row)[:-2] not in places]
    lines = [f"    {row!r},\n" for row in (*kept, *rows)]
    table = f"MEASURED: tuple[Measured, ...] = (\n{''.join(lines)})\n"
    path.write_text(re.sub(r"MEASURED: .*", lambda _: table, TABLE.read_text(), flags=re.DOTALL))


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(prog="benchmarks.routes", description=__doc__)
    parser.add_argument("--device", default="cuda", help=" or ".join(DEVICES))
    parser.add_argument("--minutes", type=float, default=float("inf"), help="then no place begins")
    parser.add_argument("--out", type=Path, help=f"folder for {TABLE.name}")
    options = parser.parse_args(sys.argv[1:] if argv is None else argv)
    if options.device not in DEVICES:
        parser.error(f"--device: expected {' or '.join(DEVICES)}, got {options.device!r}")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: torch sees no CUDA device")
    if not options.minutes > 0:
        parser.error(f"--minutes: expected a number above 0, got {options.minutes}")
    make_folder(parser, options.out)
    rows = measure(torch.device(options.device), SIZES[options.device], options.minutes)
    if options.out is not None or options.device == "cuda":
        write(rows, TABLE if options.out is None else options.out / TABLE.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
