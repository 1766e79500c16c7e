"""layer_mean in plain PyTorch: the definition."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dsr_kernels.layout import SparseLayout
from dsr_kernels.reference.units import INF_KEY, layer_bits, layer_keys, per_layer

FIXED_BITS = 31  # of the largest magnitude, so that a sum of 3e9 units stays an int64


def layer_mean(tensors: Sequence[Tensor], words: Tensor, table: Tensor) -> Tensor:
    layout = SparseLayout.from_table(table)
    active = layer_bits(words, layout)
    keys = [
        keys.where(bits & (keys < INF_KEY), 0)
        for keys, bits in zip(layer_keys(tensors, layout), active, strict=True)
    ]
    largest = max((int(layer.max()) for layer in keys if len(layer)), default=0)
    if largest == 0:
        return table.new_zeros(len(layout))
    mantissa, exponent = divide_float(largest)
    scale = FIXED_BITS - mantissa.bit_length() - exponent
    return per_layer(
        [
            fixed_point(layer, scale).sum() // bits.sum().clamp(min=1)
            for layer, bits in zip(keys, active, strict=True)
        ],
        table,
    )


def divide_float(key: int) -> tuple[int, int]:
    """(mantissa, exponent) of the float32 whose bits are ``key``: mantissa * 2^(exponent - 149)."""
    field = key >> 23
    return (key & 0x7FFFFF | (1 << 23 if field else 0)), max(field, 1) - 1


def fixed_point(keys: Tensor, scale: int) -> Tensor:
    """floor(value * 2^(scale + 149)) of the float32 values whose bits are ``keys``."""
    field = keys >> 23
    mantissa = keys & 0x7FFFFF | (field > 0).long() << 23
    shift = field.clamp(min=1) - 1 + scale
    return (mantissa << shift.clamp(min=0)) >> (-shift).clamp(0, FIXED_BITS)
