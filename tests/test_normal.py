"""The normal numbers of add_noise_: one table in two languages, and its distribution."""

import math
from pathlib import Path
from statistics import NormalDist

import oracle_noise
import pytest
import torch

from dsr_kernels.reference.normal import INTERVALS, header, normal_table, standard_normal
from dsr_kernels.reference.philox import random_words

HEADER = Path(__file__).parent.parent / "csrc/common/normal_table.h"
MIDDLES = (torch.arange(2**20) << 12) + (1 << 11)  # of 2^20 equal parts of all words


def test_the_header_is_what_the_reference_writes():
    assert HEADER.read_text() == header()
    assert [float(entry) for entry in oracle_noise.TABLE] == normal_table().tolist()


def test_the_table_holds_normal_quantiles_and_is_odd():
    table = normal_table()
    assert len(table) == INTERVALS + 1
    assert torch.equal(table, -table.flip(0))
    quantiles = [NormalDist().inv_cdf(k / INTERVALS) for k in range(1, INTERVALS)]
    rounded = torch.tensor(quantiles, dtype=torch.float64).float()
    assert torch.equal(table[1:-1], rounded)
    # None lies so close to the middle of two float32 that another libm would round it away.
    spacing = torch.nextafter(rounded.abs(), torch.tensor(math.inf)).double() - rounded.abs()
    off = (torch.tensor(quantiles, dtype=torch.float64) - rounded.double()).abs() / spacing
    assert ((off - 0.5).abs() > 1e-4).all()


def test_moments_over_all_words():
    z = standard_normal(MIDDLES).double()
    assert abs(float(z.mean())) < 1e-6
    assert float(z.square().mean()) == pytest.approx(1, abs=1e-5)
    assert abs(float(z.pow(3).mean())) < 1e-5
    assert float(z.pow(4).mean()) == pytest.approx(2.993, abs=2e-3)
    assert float(z.abs().max()) < 3.63


def test_the_distribution_function_is_the_normal_one():
    z = standard_normal(MIDDLES).double()
    exact = (torch.arange(len(z)).double() + 0.5) / len(z)
    inside = (exact > 1 / INTERVALS) & (exact < 1 - 1 / INTERVALS)
    error = (torch.special.ndtr(z) - exact).abs()
    assert float(error[inside].max()) < 1e-4
    assert float(error.max()) < 3e-4


def test_numbers_rise_with_the_word_and_meet_at_the_borders():
    z = standard_normal(torch.cat([MIDDLES, torch.tensor([2**32 - 1])]))
    assert (z.diff() >= 0).all()
    starts = torch.arange(INTERVALS) << 22
    assert torch.equal(standard_normal(starts), normal_table()[:-1])


def test_drawn_numbers_have_the_moments_and_no_correlation():
    """Five standard deviations, at a fixed seed."""
    n = 2**20
    words = random_words(torch.arange(n // 4), 3, 2, 0, torch.tensor([9])).view(-1)
    z = standard_normal(words).double()
    assert abs(float(z.mean())) < 5 / n**0.5
    assert abs(float(z.square().mean()) - 1) < 5 * (1.993 / n) ** 0.5
    assert abs(float(z.pow(4).mean()) - 2.993) < 5 * (96 / n) ** 0.5
    for lag in (1, 2, 3, 4, 5):
        assert abs(float((z[lag:] * z[:-lag]).mean())) < 5 / n**0.5, lag
