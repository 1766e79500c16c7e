"""SparseLayout: which mask bits belong to which layer, and what one bit stands for."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

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
    """All layers of a model, in registration order, in one buffer of mask words.

    Attributes:
        units: units over all layers.
        words: mask words over all layers, padding included.
        word_offsets: each layer's first word.
        unit_offsets: the global number of each layer's first unit (padding not counted).
    """

    layers: tuple[LayerShape, ...]
    # Computed here and not on first use: torch.compile cannot trace a cached property.
    units: int = field(init=False, repr=False, compare=False)
    words: int = field(init=False, repr=False, compare=False)
    word_offsets: tuple[int, ...] = field(init=False, repr=False, compare=False)
    unit_offsets: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _tables: dict[torch.device, Tensor] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        unit_offsets, units = _starts(layer.units for layer in self.layers)
        word_offsets, words = _starts(layer.words for layer in self.layers)
        if units > MAX_TOTAL_UNITS:
            raise ValueError(f"layers: {units} units in all, more than {MAX_TOTAL_UNITS} supported")
        for name, value in (
            ("units", units),
            ("words", words),
            ("word_offsets", word_offsets),
            ("unit_offsets", unit_offsets),
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def of_elements(cls, sizes: Iterable[int]) -> SparseLayout:
        """A layout whose units are single elements, ``sizes[i]`` of them in layer ``i``."""
        return cls(tuple(LayerShape(size) for size in sizes))

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
            # Not this layout, which holds the table: it would keep its own key alive.
            _layouts[table] = SparseLayout(self.layers)
        return table

    @staticmethod
    def from_table(table: Tensor) -> SparseLayout:
        """The layout a table was made from.

        Waits for the device only where :meth:`table` did not make the tensor itself.
        """
        layout = _layouts.get(table)
        if layout is None:
            layout = SparseLayout(tuple(LayerShape(*row[:3]) for row in table.tolist()))
            _layouts[table] = layout
        return layout


_layouts: MutableMapping[Tensor, SparseLayout] = WeakTensorKeyDictionary()


def _starts(sizes: Iterable[int]) -> tuple[tuple[int, ...], int]:
    """Where each of several stretches begins, and where the last one ends."""
    starts, total = [], 0
    for size in sizes:
        starts.append(total)
        total += size
    return tuple(starts), total
