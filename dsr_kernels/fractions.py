"""Exact counts from fractions: a float stands for the decimal number it is written as."""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor

FRACTION_BITS = 32

Decimal = float | str | Fraction


def active_count(units: int, sparsity: Decimal) -> int:
    """Active units of ``units`` at ``sparsity``: units - floor(sparsity * units), exactly.

    >>> active_count(1000, 0.9)
    100

    Raises:
        TypeError: ``units`` is no int or ``sparsity`` no number.
        ValueError: ``units`` is negative or ``sparsity`` not in [0, 1).
    """
    exact = exact_decimal(sparsity, "sparsity")
    if not 0 <= exact < 1:
        raise ValueError(f"sparsity: expected a number in [0, 1), got {sparsity}")
    return _check_count(units, "units") - math.floor(exact * units)


def tolerance_bounds(count: int, tolerance: Decimal) -> tuple[int, int]:
    """The counts within ``tolerance`` of ``count``: (ceil((1 - d) N), floor((1 + d) N)), exactly.

    >>> tolerance_bounds(15, 0.1)
    (14, 16)

    Raises:
        TypeError: ``count`` is no int or ``tolerance`` no number.
        ValueError: ``count`` is negative or ``tolerance`` not in [0, 1].
    """
    exact = exact_decimal(tolerance, "tolerance")
    if not 0 <= exact <= 1:
        raise ValueError(f"tolerance: expected a number in [0, 1], got {tolerance}")
    _check_count(count, "count")
    return math.ceil((1 - exact) * count), math.floor((1 + exact) * count)


def fraction_of(counts: Tensor, fraction: Decimal) -> Tensor:
    """A fraction of counts on any device: ceil(counts * p / 2^32), p = floor(fraction * 2^32).

    Rounded down first and up last, a tenth of 120 is 12 and not 13: the result is the exact
    ceiling as long as no count comes near 2^32 divided by the fraction's denominator.

    Args:
        counts: int64, any shape, each in [0, 3e9].
        fraction: a number in [0, 1].

    Returns:
        int64, the shape and device of ``counts``.

    Raises:
        TypeError: ``counts`` is no int64 tensor or ``fraction`` no number.
        ValueError: ``fraction`` is not in [0, 1].
    """
    if not isinstance(counts, Tensor) or counts.dtype != torch.int64:
        got = counts.dtype if isinstance(counts, Tensor) else type(counts).__name__
        raise TypeError(f"counts: expected an int64 tensor, got {got}")
    exact = exact_decimal(fraction, "fraction")
    if not 0 <= exact <= 1:
        raise ValueError(f"fraction: expected a number in [0, 1], got {fraction}")
    p = math.floor(exact * 2**FRACTION_BITS)
    # The product has up to 64 bits: multiply the count's halves, rounding up after each.
    half = FRACTION_BITS // 2
    low = ((counts & 0xFFFF) * p + 0xFFFF) >> half
    return ((counts >> half) * p + low + 0xFFFF) >> half


def exact_decimal(value: Decimal, name: str) -> Fraction:
    """``value`` as the decimal it is written as: 0.1 is one tenth.

    Raises:
        TypeError: ``value`` is no number.
        ValueError: ``value`` is NaN, infinite or a text that is no number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Fraction)):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{name}: expected a finite number, got {value!r}") from None


def _check_count(value: int, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}: expected an int, got {type(value).__name__}")
    if value < 0:
        raise ValueError(f"{name}: expected a count of at least 0, got {value}")
    return value
