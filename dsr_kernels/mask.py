"""BitMask: one bit a unit, packed into int32 words. Bit j of word w is unit 32 w + j."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.layout import WORD_BITS, LayerShape, SparseLayout


class BitMask:
    """The active units of all layers of a :class:`SparseLayout`.

    ``words`` is one int32 buffer; padding bits between the layers are 0. The ops of this package
    change it in place.
    """

    def __init__(self, layout: SparseLayout, words: Tensor) -> None:
        if words.dtype != torch.int32:
            raise TypeError(f"words: expected int32, got {words.dtype}")
        if words.dim() != 1 or words.numel() != layout.words or not words.is_contiguous():
            raise ValueError(
                f"words: expected a contiguous tensor of shape [{layout.words}], got shape "
                f"{list(words.shape)}, strides {list(words.stride())}"
            )
        self.layout = layout
        self.words = words

    @classmethod
    def zeros(cls, layout: SparseLayout, device: torch.device | str = "cpu") -> BitMask:
        """A mask with every unit inactive."""
        return cls(layout, torch.zeros(layout.words, dtype=torch.int32, device=device))

    @classmethod
    def ones(cls, layout: SparseLayout, device: torch.device | str = "cpu") -> BitMask:
        """A mask with every unit active."""
        bits = [torch.ones(layer.units, dtype=torch.bool) for layer in layout.layers]
        return cls.from_bools(layout, bits).to(device)

    @classmethod
    def from_bools(cls, layout: SparseLayout, bits: Sequence[Tensor]) -> BitMask:
        """Pack one bool tensor of shape [units] a layer (True = active), in memory order."""
        if len(bits) != len(layout):
            raise ValueError(f"bits: expected {len(layout)} tensors, got {len(bits)}")
        packed = [
            pack_bits(layer_bits, layer, name=f"bits[{i}]")
            for i, (layer, layer_bits) in enumerate(zip(layout.layers, bits, strict=True))
        ]
        return cls(layout, torch.cat(packed) if packed else torch.zeros(0, dtype=torch.int32))

    @property
    def device(self) -> torch.device:
        return self.words.device

    @property
    def table(self) -> Tensor:
        """The layout's table on this mask's device."""
        return self.layout.table(self.words.device)

    def layer_words(self, layer: int) -> Tensor:
        """The words of one layer, a view."""
        return layer_words(self.words, self.layout, layer)

    def to_bools(self) -> list[Tensor]:
        """One bool tensor of shape [units] a layer, in memory order."""
        return [
            unpack_bits(self.layer_words(i), shape.units)
            for i, shape in enumerate(self.layout.layers)
        ]

    def to_elements(self) -> list[Tensor]:
        """One bool tensor of shape [elements] a layer, in memory order."""
        return [self.layer_elements(i) for i in range(len(self.layout))]

    def layer_elements(self, layer: int) -> Tensor:
        """One layer's bits repeated over the elements of each unit: bool [elements]."""
        shape = self.layout.layers[layer]
        return expand_units(unpack_bits(self.layer_words(layer), shape.units), shape)

    def counts(self) -> Tensor:
        """Active units of each layer: int64 [layers] on the mask's device."""
        words = self.words.long() & 0xFFFFFFFF
        totals = torch.nn.functional.pad(popcount(words).cumsum(0), (1, 0))
        starts = self.table[:, 3]
        ends = torch.cat([starts[1:], starts.new_full((min(1, len(self.layout)),), len(words))])
        return totals[ends] - totals[starts]

    def clone(self) -> BitMask:
        return BitMask(self.layout, self.words.clone())

    def to(self, device: torch.device | str) -> BitMask:
        return BitMask(self.layout, self.words.to(device))

    def __repr__(self) -> str:
        layers, units = len(self.layout), self.layout.units
        return f"BitMask({layers} layers, {units} units, device={str(self.device)!r})"


def layer_words(words: Tensor, layout: SparseLayout, layer: int) -> Tensor:
    start = layout.word_offsets[layer]
    return words[start : start + layout.layers[layer].words]


def pack_bits(bits: Tensor, layer: LayerShape, name: str = "bits") -> Tensor:
    """Pack a bool tensor of shape [units] into the layer's int32 words."""
    if bits.dtype != torch.bool:
        raise TypeError(f"{name}: expected bool, got {bits.dtype}")
    if bits.shape != (layer.units,):
        raise ValueError(f"{name}: expected shape [{layer.units}], got {list(bits.shape)}")
    padded = bits.new_zeros(layer.words * WORD_BITS)
    padded[: layer.units] = bits
    weights = torch.ones((), dtype=torch.int64, device=bits.device) << torch.arange(
        WORD_BITS, device=bits.device
    )
    words = (padded.view(-1, WORD_BITS) * weights).sum(1)
    return words.where(words < 2**31, words - 2**32).int()


def unpack_bits(words: Tensor, units: int) -> Tensor:
    """The first ``units`` bits of int32 words as a bool tensor."""
    shifts = torch.arange(WORD_BITS, dtype=torch.int32, device=words.device)
    return ((words[:, None] >> shifts) & 1).bool().view(-1)[:units]


def expand_units(per_unit: Tensor, layer: LayerShape) -> Tensor:
    """Repeat a value a unit over the unit's elements: [units] -> [elements], in memory order."""
    return (
        per_unit.view(layer.outer, 1, layer.inner)
        .expand(layer.outer, layer.unit_size, layer.inner)
        .reshape(layer.elements)
    )


def popcount(words: Tensor) -> Tensor:
    """Set bits of each word, given as int64 in [0, 2^32)."""
    words = words - ((words >> 1) & 0x55555555)
    words = (words & 0x33333333) + ((words >> 2) & 0x33333333)
    words = (words + (words >> 4)) & 0x0F0F0F0F
    return ((words * 0x01010101) & 0xFFFFFFFF) >> 24
