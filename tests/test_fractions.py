"""Counts from fractions are exact, whatever binary floats make of the decimals."""

from fractions import Fraction
from math import ceil, floor

import pytest
import torch

from dsr_kernels import active_count, fraction_of, tolerance_bounds


@pytest.mark.parametrize("sparsity", [0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 0.999, "0.95", "1/3"])
@pytest.mark.parametrize("units", [0, 1, 7, 10, 1000, 266_200, 2**30, 3 * 10**9])
def test_active_count(units, sparsity):
    assert active_count(units, sparsity) == units - floor(Fraction(str(sparsity)) * units)


def test_active_count_takes_a_float_as_its_decimal():
    assert active_count(10, 0.9) == 1
    assert active_count(2**30, 0.9) == 107_374_183
    assert active_count(100, 0.29) == 71  # 0.29 * 100 is 28.999999999999996 in floats
    assert active_count(3, Fraction(1, 3)) == 2


@pytest.mark.parametrize("sparsity", [-0.1, 1, 1.0, float("nan"), float("inf"), "x", "1/0"])
def test_a_sparsity_outside_0_to_1_is_refused(sparsity):
    with pytest.raises(ValueError, match="sparsity: expected a"):
        active_count(10, sparsity)


@pytest.mark.parametrize(
    ("units", "error", "text"),
    [
        (-1, ValueError, "units: expected a count of at least 0, got -1"),
        (1.5, TypeError, "units: expected an int, got float"),
        (True, TypeError, "units: expected an int, got bool"),
    ],
)
def test_units_that_are_no_count_are_refused(units, error, text):
    with pytest.raises(error, match=text):
        active_count(units, 0.5)


@pytest.mark.parametrize("sparsity", [None, True, torch.tensor(0.5)])
def test_a_sparsity_that_is_no_number_is_refused(sparsity):
    with pytest.raises(TypeError, match="sparsity: expected a number, got"):
        active_count(10, sparsity)


def test_tolerance_bounds():
    assert tolerance_bounds(200_000, 0.1) == (180_000, 220_000)
    assert tolerance_bounds(15, 0.1) == (14, 16)
    assert tolerance_bounds(10, 0) == (10, 10)
    assert tolerance_bounds(10, 1) == (0, 20)
    assert tolerance_bounds(0, 0.1) == (0, 0)
    with pytest.raises(ValueError, match=r"tolerance: expected a number in \[0, 1\], got 1.1"):
        tolerance_bounds(10, 1.1)
    with pytest.raises(ValueError, match="count: expected a count of at least 0"):
        tolerance_bounds(-1, 0.1)


@pytest.mark.parametrize("fraction", [0, 0.02, 0.1, 0.3, 0.5, 0.999, 1, "1/3"])
def test_fraction_of(fraction, device):
    counts = [0, 1, 2, 9, 65_535, 65_536, 65_537, 10**6, 2**31, 3 * 10**9]
    p = floor(Fraction(str(fraction)) * 2**32)
    expected = [ceil(Fraction(count * p, 2**32)) for count in counts]
    assert fraction_of(torch.tensor(counts, device=device), fraction).tolist() == expected


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.3, 0.7])
def test_fraction_of_is_the_exact_ceiling_for_usual_counts(fraction):
    counts = torch.arange(0, 10**6, 997)
    expected = [ceil(Fraction(str(fraction)) * count) for count in counts.tolist()]
    assert fraction_of(counts, fraction).tolist() == expected


def test_fraction_of_refuses_what_is_no_count_or_fraction():
    with pytest.raises(TypeError, match=r"counts: expected an int64 tensor, got torch\.int32"):
        fraction_of(torch.tensor([1], dtype=torch.int32), 0.5)
    with pytest.raises(TypeError, match="counts: expected an int64 tensor, got list"):
        fraction_of([1], 0.5)
    with pytest.raises(ValueError, match=r"fraction: expected a number in \[0, 1\], got -0.5"):
        fraction_of(torch.tensor([1]), -0.5)
