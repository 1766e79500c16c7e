"""Generated cases for comparing the C++ kernels of the reallocation ops with the reference.

A case is up to three layers of every awkward kind: sizes around the word and block borders, no
units at all, kernel slices in both memory formats, all key dtypes, ties, NaN, Inf, -0.0,
denormals, empty and full masks.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, SparseLayout

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SIZES = (0, 1, 2, 31, 32, 33, 100, 1023, 1024, 1025)
LARGE = ((65537,), (65537, 1, 2), (7001, 9), (5, 9, 1400), (130, 500))
FRACTIONS = (0.0, 0.01, 0.1, 0.5, 1.0)
SPECIAL = (float("nan"), float("inf"), -float("inf"), -0.0, 0.0, 1e-45, 2e-40, 6e-8, 3e38)
MAX_ELEMENTS = 5000  # of a layer made of groups
CANARY = 7.0
PAD = 40


@dataclass
class Case:
    """One call: a tensor a layer, the mask now and the mask before pruning."""

    number: int
    layout: SparseLayout
    buffers: list[Tensor]  # each holds its layer's tensor between canaries
    starts: list[int]  # where it begins: often at an address no vector is aligned to
    mask: BitMask
    previous: BitMask
    random: random.Random  # for the arguments of the op under test

    @property
    def tensors(self) -> list[Tensor]:
        return [
            buffer[start : start + shape.elements]
            for buffer, start, shape in zip(
                self.buffers, self.starts, self.layout.layers, strict=True
            )
        ]

    def copy(self, device: str | torch.device = "cpu") -> "Case":
        return replace(
            self,
            buffers=[buffer.clone().to(device) for buffer in self.buffers],
            mask=self.mask.clone().to(device),
            previous=self.previous.clone().to(device),
        )

    def __str__(self) -> str:
        dtypes = [str(buffer.dtype) for buffer in self.buffers]
        return f"case {self.number}: {self.layout.layers} {dtypes}"


def cases(count: int, seed: int, large: int = 8, groups: bool = True) -> Iterator[Case]:
    """``count`` cases, ``large`` of them big enough for two threads; ``groups``: also of groups."""
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    for number in range(count):
        big = large > 0 and number % (count // large) == 0
        shapes = [_shape(rng, big, groups) for _ in range(3 if big else rng.randint(1, 3))]
        if rng.random() < 0.05:
            shapes.append(LayerShape(0))
        layout = SparseLayout(tuple(shapes))
        starts = [PAD + rng.randrange(4) for _ in shapes]
        buffers = [
            _buffer(rng, generator, shape, start)
            for shape, start in zip(shapes, starts, strict=True)
        ]
        mask, previous = _masks(rng, generator, layout)
        yield Case(number, layout, buffers, starts, mask, previous, rng)


def _shape(rng: random.Random, big: bool, groups: bool) -> LayerShape:
    if big:
        return LayerShape(*rng.choice(LARGE if groups else LARGE[:1]))
    size = rng.choice(SIZES)
    if rng.random() < 0.5 or not groups:
        return LayerShape(size, 1, rng.choice((1, 1, 3)))
    unit_size = rng.randint(1, 70)
    inner = rng.choice((1, 1, 2, 33, 40))
    return LayerShape(min(size, MAX_ELEMENTS // unit_size) // inner, unit_size, inner)


def _buffer(rng: random.Random, generator: torch.Generator, shape: LayerShape, start: int):
    n = shape.elements
    kind = rng.choice(("plain", "ties", "tiny", "special", "constant"))
    if kind == "ties":
        values = torch.randint(-2, 3, (n,), generator=generator) * 0.25
    elif kind == "constant":
        values = torch.full((n,), rng.choice((0.5, *SPECIAL)))
    else:
        values = torch.randn(n, generator=generator)
        if kind == "tiny":
            values *= rng.choice((1e-39, 3e-8, 1e-37))
    if kind == "special":
        step = rng.choice((7, 50, 301))
        for offset, value in enumerate(SPECIAL):
            values[offset * 5 :: step] = value
    buffer = torch.full((n + start + PAD,), CANARY, dtype=rng.choice(DTYPES))
    buffer[start : start + n] = values
    return buffer


def _masks(rng: random.Random, generator: torch.Generator, layout: SparseLayout):
    active, before = [], []
    for shape in layout.layers:
        draw = torch.rand(2, shape.units, generator=generator)
        bits = draw[0] < rng.choice(FRACTIONS)
        active.append(bits)
        before.append(bits | (draw[1] < rng.choice(FRACTIONS)))
    return BitMask.from_bools(layout, active), BitMask.from_bools(layout, before)


def unit_counts(case: Case, per_layer: bool = True) -> Tensor:
    """How many units to take, of each layer or of all: none, a few, all, too many, negative."""
    sizes = [shape.units for shape in case.layout.layers]
    rng = case.random
    return torch.tensor(
        [
            rng.choice((0, -3, 1, 2, n, n + 5, rng.randint(0, n), n // 10, n // 2))
            for n in (sizes if per_layer else [sum(sizes)])
        ]
    )


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_cpu(case: Case, call: Callable[[Case], object]) -> None:
    """``call`` must return and change the same bits on cpu, at 1 and 2 threads, as on reference."""
    check_backends(case, call, ("cpu",), threads=(1, 2))


def check_backends(
    case: Case,
    call: Callable[[Case], object],
    backends: Sequence[str],
    threads: Sequence[int] = (1,),
    device: str | torch.device = "cpu",
) -> None:
    """``call`` must return and change the same bits in each backend as reference on a CPU."""
    wanted, results = _run(case, call, "reference", 1, "cpu")
    for backend in backends:
        for count in threads:
            now, outputs = _run(case, call, backend, count, device)
            where = f"{case}, {backend}, {count} threads"
            for i, (a, b) in enumerate(zip(outputs, results, strict=True)):
                assert same_bits(a, b), f"{where}: output {i}: {a} is not {b}"
            for i, (a, b) in enumerate(zip(now.buffers, wanted.buffers, strict=True)):
                assert same_bits(a, b), f"{where}: tensor {i} differs"
            for name in ("mask", "previous"):
                a, b = getattr(now, name).words, getattr(wanted, name).words
                assert same_bits(a, b), f"{where}: {name} differs"


def _run(
    case: Case,
    call: Callable[[Case], object],
    backend: str,
    threads: int,
    device: str | torch.device,
):
    copy = case.copy(device)
    with torch_threads(threads), dsr_kernels.backend(backend):
        results = call(copy)
    if results is None:
        return copy, ()
    return copy, results if isinstance(results, tuple) else (results,)


def same_bits(a: Tensor, b: Tensor) -> bool:
    a, b = a.cpu(), b.cpu()
    return a.dtype == b.dtype and torch.equal(a.view(torch.uint8), b.view(torch.uint8))
