"""What is swept: layers, rows or images, sparsity and structure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.convolutions import MODELS, Convolution, distinct

TILE = 128
# What the product is told of each structure.
HINTS = {
    "unstructured": "unstructured",
    "tiles": "tiles",
    "rows": "channels",
    "channels": "channels",
}
STRUCTURES = tuple(HINTS)
SPARSITIES = (0.9, 0.5, 0.8, 0.95, 0.99)
WIDTH = {"cpu": 512, "cuda": 2048}  # of the transformer
ROWS = {"cpu": (512, 16, 128, 2048), "cuda": (8192, 16, 64, 512, 2048, 32768)}
BATCH = {
    "cpu": {"wrn-28-2": 32, "wrn-16-8": 4, "resnet50": 2},
    "cuda": dict.fromkeys(MODELS, 128),
}
CLASSIFIERS = ((1000, 2048), (300, 784))  # out, in: of ResNet-50, and the first of LeNet-300-100
LINEAR_NETS = ("transformer", "classifiers")
NETS = (*LINEAR_NETS, *MODELS)
SWEPT = (256, 256, 3, 3)  # the convolution of WRN-16-8 on which sparsity and structure are varied


@dataclass(frozen=True)
class Place:
    """One product: a layer, what it sees, and where its zeros are.

    Attributes:
        op: "masked_linear" or "masked_conv2d".
        net: where the layer is from.
        layer: shapes of weight and input; a linear layer's weight is [out, in].
        rows: of the input; for a convolution its images.
        sparsity, structure: of the mask.
    """

    op: str
    net: str
    layer: Convolution
    rows: int
    sparsity: float
    structure: str

    @property
    def shape(self) -> str:
        """Such as "512 -> 2048", or "256 -> 512, 3 x 3 / 2 on 32 x 32"."""
        outs, ins, *kernel = self.layer.weight
        if not kernel:
            return f"{ins} -> {outs}"
        stride = f" / {self.layer.stride}" if self.layer.stride > 1 else ""
        height, width = self.layer.x[1:]
        return f"{ins} -> {outs}, {kernel[0]} x {kernel[1]}{stride} on {height} x {width}"


def places(
    device: str,
    op: str,
    nets: Sequence[str],
    rows: Sequence[int],
    sparsities: Sequence[float],
    structures: Sequence[str],
    *,
    everything: bool = False,
) -> Iterator[Place]:
    """The products to time, the most wanted first.

    Every layer is taken at the first of ``rows``, ``sparsities`` and ``structures``. One layer of
    each net of linear layers is taken at all rows, and one layer an op at all sparsities and
    structures. ``everything`` takes every combination instead.
    """
    find = _linear if op == "masked_linear" else _convolutions
    starts = [
        replace(place, sparsity=sparsities[0], structure=structures[0])
        for net in nets
        for place in find(net, device, rows[0])
    ]
    at_rows = rows if op == "masked_linear" else rows[:1]
    found = list(starts)
    for place in starts:
        first = place.net not in {p.net for p in starts[: starts.index(place)]}
        if op == "masked_linear" and (first or everything):
            found += [replace(place, rows=count) for count in at_rows]
    swept = found if everything else [p for p in starts if _is_swept(p, starts)]
    for structure in structures:
        for sparsity in sparsities:
            found = found + [replace(p, sparsity=sparsity, structure=structure) for p in swept]
    yield from dict.fromkeys(found)


def _is_swept(place: Place, starts: Sequence[Place]) -> bool:
    wanted = [p for p in starts if p.layer.weight == SWEPT and p.layer.stride == 1]
    return place == (wanted or starts)[0]


def _linear(net: str, device: str, rows: int) -> Iterator[Place]:
    width = WIDTH[device]
    shapes = {
        # Up, down, query with key and value, output.
        "transformer": ((4 * width, width), (width, 4 * width), (3 * width, width), (width, width)),
        "classifiers": CLASSIFIERS,
    }
    for outs, ins in shapes.get(net, ()):
        yield Place("masked_linear", net, Convolution((outs, ins), (ins,)), rows, 0.0, "")


def _convolutions(net: str, device: str, rows: int) -> Iterator[Place]:
    if net in MODELS:
        for layer in distinct(net):
            yield Place("masked_conv2d", net, layer, BATCH[device][net], 0.0, "")


def flags_of(weight: Sequence[int], sparsity: float, structure: str) -> Tensor:
    """bool, True where a weight of that shape is active.

    Args:
        weight: [out, in] or [out, in, height, width].
        sparsity: the share of single weights, tiles of 128 x 128 (of each tap), rows (outputs) or
            channels (inputs) that is inactive; at least one stays.
        structure: one of ``STRUCTURES``.
    """
    generator = torch.Generator().manual_seed(0)
    outs, ins = weight[:2]
    taps = torch.Size(weight[2:]).numel()
    if structure == "unstructured":
        flags = torch.rand(outs, ins, taps, generator=generator) >= sparsity
    elif structure == "tiles":
        high, wide = -(-outs // TILE), -(-ins // TILE)
        kept = _some(high * wide * taps, sparsity, generator).view(high, wide, taps)
        flags = kept.repeat_interleave(TILE, 0).repeat_interleave(TILE, 1)[:outs, :ins]
    elif structure == "rows":
        flags = _some(outs, sparsity, generator)[:, None, None].expand(outs, ins, taps)
    else:
        flags = _some(ins, sparsity, generator)[None, :, None].expand(outs, ins, taps)
    return flags.reshape(*weight)


def _some(count: int, sparsity: float, generator: torch.Generator) -> Tensor:
    """bool [count], that share of it False."""
    flags = torch.zeros(count, dtype=torch.bool)
    kept = max(1, round((1 - sparsity) * count))
    flags[torch.randperm(count, generator=generator)[:kept]] = True
    return flags
