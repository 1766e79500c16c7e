"""Sample inputs of every op, for checks that treat all ops alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dsr_kernels.layout import LayerShape, SparseLayout
from dsr_kernels.mask import BitMask
from dsr_kernels.schema import OPS

# An aligned and a ragged layer of elements, kernel slices in two memory orders, and an empty one.
SHAPES = (
    LayerShape(128),
    LayerShape(77),
    LayerShape(5, 9),
    LayerShape(2, 9, 3),
    LayerShape(0),
)
ELEMENTS = tuple(LayerShape(size) for size in (128, 77, 45, 54, 0))


class _Sample:
    """One random net, two masks of it, and tensors of the kinds the ops take."""

    def __init__(
        self, device: torch.device | str, seed: int, shapes: tuple[LayerShape, ...]
    ) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.device = device
        self.layout = SparseLayout(shapes)
        # The order of these draws is the sample: before - gone is what pruning left.
        before = [self._uniform(shape.units) < 0.6 for shape in shapes]
        gone = [self._uniform(shape.units) < 0.3 for shape in shapes]
        after = [bits & ~lost for bits, lost in zip(before, gone, strict=True)]
        self.mask = BitMask.from_bools(self.layout, after).to(device)
        self.previous = BitMask.from_bools(self.layout, before).to(device)

    def _uniform(self, size: int) -> Tensor:
        return torch.rand(size, generator=self.generator)

    def tensors(self, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        return [
            torch.randn(shape.elements, generator=self.generator).to(self.device, dtype)
            for shape in self.layout.layers
        ]

    def normal(self, *size: int) -> Tensor:
        return torch.randn(size, generator=self.generator).to(self.device)

    def counts(self, values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self.device)


def sample_inputs(op: str, device: torch.device | str = "cpu", seed: int = 0) -> list[Any]:
    """Arguments for ``torch.ops.dsr_kernels.<op>``, fresh tensors at every call.

    Args:
        op: a name in ``dsr_kernels.schema.OPS``.
        device: where the tensors lie.
        seed: of the random values.

    Returns:
        The positional arguments: a net of five layers, an empty one among them, and grouped
        ones where the op takes such.

    Raises:
        ValueError: there is no such op.

    Example:
        >>> args = sample_inputs("layer_mean")
        >>> torch.ops.dsr_kernels.layer_mean(*args).shape
        torch.Size([5])
    """
    if op not in OPS:
        raise ValueError(f"op: expected one of {', '.join(OPS)}, got {op!r}")
    shapes = ELEMENTS if op == "prune_sign_flips_" else SHAPES
    return _SAMPLES[op](_Sample(device, seed, shapes))


def _apply_mask(s: _Sample) -> list[Any]:
    return [s.tensors(), list(range(len(SHAPES))), s.mask.words, s.mask.table]


def _prune_threshold(s: _Sample) -> list[Any]:
    threshold = torch.tensor([0.4], device=s.device)
    return [s.tensors(), s.mask.words, s.mask.table, threshold, True]


def _kth_magnitude(s: _Sample) -> list[Any]:
    k = s.counts([3, 0, 2, 9, 1])
    return [s.tensors(torch.bfloat16), s.mask.words, s.mask.table, k, False, True, True]


def _prune_smallest(s: _Sample) -> list[Any]:
    return [s.tensors(), s.mask.words, s.mask.table, s.counts([17]), False, True, True]


def _allocate_growth(s: _Sample) -> list[Any]:
    counts = [s.counts(v) for v in ([9, 0, 4, 2, 0], [40, 30, 2, 3, 0], [3, 9, 2, 1, 0])]
    return [torch.tensor([1e-3], device=s.device), *counts, 20, 40]


def _grow_random(s: _Sample) -> list[Any]:
    counts = s.counts([20, 99, 1, 0, 3])
    return [s.mask.words, s.previous.words, s.mask.table, counts, -7, s.counts([3]), 1]


def _grow_largest(s: _Sample) -> list[Any]:
    counts = s.counts([20, 99, 1, 0, 3])
    return [s.mask.words, s.previous.words, s.tensors(), s.mask.table, counts, True]


def _layer_mean(s: _Sample) -> list[Any]:
    return [s.tensors(torch.float16), s.mask.words, s.mask.table]


def _reset_state(s: _Sample) -> list[Any]:
    layers = list(range(len(SHAPES)))
    return [s.tensors(torch.float64), layers, s.mask.words, s.previous.words, s.mask.table]


def _add_noise(s: _Sample) -> list[Any]:
    scale = torch.tensor([0.5, 1.0, 0.0, 2.0, 1.0], device=s.device)
    layers = list(range(len(SHAPES)))
    tensors = s.tensors(torch.bfloat16)
    return [tensors, layers, s.mask.words, s.mask.table, scale, -7, s.counts([3]), 2]


def _prune_sign_flips(s: _Sample) -> list[Any]:
    signs = [s.previous.words, s.previous.words ^ s.mask.words]
    return [s.tensors(), s.mask.words, *signs, s.mask.table, True]


def _layer(s: _Sample, layer: int) -> tuple[Tensor, list[int]]:
    """One layer's words and units, as the products take them."""
    shape = SHAPES[layer]
    return s.mask.layer_words(layer), [shape.outer, shape.unit_size, shape.inner]


def _masked_linear(s: _Sample) -> list[Any]:
    words, units = _layer(s, 1)
    weight = s.tensors()[1].view(7, 11)
    x, bias = s.normal(3, 11), s.normal(7)
    return [x, weight, words, bias, units, False, "unstructured"]


def _masked_conv2d(s: _Sample) -> list[Any]:
    words, units = _layer(s, 2)
    weight = s.tensors()[2].view(5, 1, 3, 3)
    x, bias = s.normal(2, 1, 6, 7), s.normal(5)
    return [x, weight, words, bias, units, [2, 1], [1, 0], [1, 2], 1, False, "unstructured"]


def _words(s: _Sample, *words: int) -> Tensor:
    return torch.tensor([*words, 0, 0], dtype=torch.int32, device=s.device)


def _pack(s: _Sample) -> list[Any]:
    return [s.tensors()[3], _words(s, 0b101101, 0), [2, 9, 3], 4]


def _unpack(s: _Sample) -> list[Any]:
    return [s.normal(4 * 9), s.counts([0, 4]), _words(s, 0b101101, 0), [2, 9, 3]]


def _packed_linear(s: _Sample) -> list[Any]:
    words, ranks = _words(s, -1, 0b11001), s.counts([0, 35])
    return [s.normal(3, 11), s.normal(35), ranks, words, s.normal(7), [77, 1, 1], 7]


_SAMPLES: dict[str, Callable[[_Sample], list[Any]]] = {
    "apply_mask_": _apply_mask,
    "mask_and_count_": _apply_mask,
    "prune_threshold_": _prune_threshold,
    "kth_magnitude": _kth_magnitude,
    "prune_smallest_": _prune_smallest,
    "allocate_growth": _allocate_growth,
    "grow_random_": _grow_random,
    "grow_largest_": _grow_largest,
    "layer_mean": _layer_mean,
    "reset_state_": _reset_state,
    "add_noise_": _add_noise,
    "prune_sign_flips_": _prune_sign_flips,
    "masked_linear": _masked_linear,
    "masked_conv2d": _masked_conv2d,
    "pack": _pack,
    "unpack": _unpack,
    "packed_linear": _packed_linear,
}
