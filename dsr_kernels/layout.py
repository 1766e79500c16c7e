"""SparseLayout: which mask bits belong to which layer, and what one bit stands for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

WORD_BITS = 32
ALIGN_WORDS = 4  # each layer starts on a 128-bit boundary
MAX_TOTAL_UNITS = 3_000_000_000  # so that the product of two counts fits an int64

# Columns of SparseLayout.table, one row a layer; csrc/common/layout.h reads the same order.
OUTER, UNIT_SIZE, INNER, WORD_OFFSET, UNIT_OFFSET = range(5)
TABLE_COLUMNS = 5


@dataclass(frozen=True)
class LayerShape:
    """One layer as ``(outer, unit_size, inner)`` in memory order.

    Element ``(o, u, i)`` lies at ``(o * unit_size + u) * inner + i`` and belongs to unit
    ``o * inner + i``. Single elements have ``unit_size == inner == 1``; a k x k kernel slice of a
    contiguous convolution weight is ``(out * in, k * k, 1)``, of a channels_last one
    ``(out, k * k, in)``.
    """

    outer: int
    unit_size: int = 1
    inner: int = 1

    def __post_init__(self) -> None:
        for name in ("outer", "unit_size", "inner"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name}: expected an int, got {value!r}")
        if self.outer < 0 or self.unit_size < 1 or self.inner < 1:
            raise ValueError(
                "a layer needs outer >= 0, unit_size >= 1 and inner >= 1, got "
                f"({self.outer}, {self.unit_size}, {self.inner})"
            )

    @property
    def units(self) -> int:
        return self.outer * self.inner

    @property
    def elements(self) -> int:
        return self.outer * self.unit_size * self.inner

    @property
    def words(self) -> int:
        """Mask words of the layer, padding included."""
        block_bits = ALIGN_WORDS * WORD_BITS
        return -(-self.units // block_bits) * ALIGN_WORDS


@dataclass(frozen=True)
class SparseLayout:
    """All layers of a model, in registration order, in one buffer of mask words."""

    layers: tuple[LayerShape, ...]
    _tables: dict[torch.device, Tensor] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if self.units > MAX_TOTAL_UNITS:
            raise ValueError(
                f"layers: {self.units} units in all, more than the {MAX_TOTAL_UNITS} supported"
            )

    @classmethod
    def of_elements(cls, sizes: Iterable[int]) -> SparseLayout:
        """A layout whose units are single elements, ``sizes[i]`` of them in layer ``i``."""
        return cls(tuple(LayerShape(size) for size in sizes))

    @cached_property
    def units(self) -> int:
        """Units over all layers."""
        return sum(layer.units for layer in self.layers)

    @cached_property
    def words(self) -> int:
        """Mask words over all layers, padding included."""
        return sum(layer.words for layer in self.layers)

    @cached_property
    def word_offsets(self) -> tuple[int, ...]:
        return _starts(layer.words for layer in self.layers)

    @cached_property
    def unit_offsets(self) -> tuple[int, ...]:
        """The global number of each layer's first unit (padding not counted)."""
        return _starts(layer.units for layer in self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def table(self, device: torch.device) -> Tensor:
        """The layout as the kernels read it: int64 [layers, 5] on ``device``, built once.

        Columns: outer, unit_size, inner, word offset, unit offset.
        """
        table = self._tables.get(device)
        if table is None:
            rows = [
                (layer.outer, layer.unit_size, layer.inner, word, unit)
                for layer, word, unit in zip(
                    self.layers, self.word_offsets, self.unit_offsets, strict=True
                )
            ]
            table = torch.tensor(rows, dtype=torch.int64).view(len(rows), TABLE_COLUMNS)
            self._tables[device] = table = table.to(device)
        return table

    @staticmethod
    def from_table(table: Tensor) -> SparseLayout:
        """The layout a table was made from. Waits for the device where the table is on one."""
        return SparseLayout(tuple(LayerShape(*row[:3]) for row in table.tolist()))


def _starts(sizes: Iterable[int]) -> tuple[int, ...]:
    starts, total = [], 0
    for size in sizes:
        starts.append(total)
        total += size
    return tuple(starts)
