"""allocate_growth on every backend: the threshold's rule, the split's rule, and their edges."""

import random

import oracle
import pytest
import torch
from op_cases import seeds

import dsr_kernels
from dsr_kernels import allocate_growth

OP = "allocate_growth"
BILLION = 10**9


def allocate(pruned, shares, capacity, device, threshold=None, **options):
    vectors = [
        torch.tensor(v, dtype=torch.int64, device=device) for v in (pruned, shares, capacity)
    ]
    if threshold is not None:
        threshold = torch.tensor([threshold], dtype=torch.float32, device=device)
    grown = allocate_growth(*vectors, threshold=threshold, **options).tolist()
    return grown if threshold is None else (grown, threshold.item())


def random_counts(rng, layers):
    most = rng.choice((1, 3, 10, 1000, 7 * BILLION // 10))
    return [rng.choice((0, 1, rng.randint(0, most), rng.randint(0, most))) for _ in range(layers)]


@pytest.mark.parametrize("block", range(4))
def test_random_cases_against_the_oracle(block, backend, device):
    for seed in seeds(block):
        rng = random.Random(seed)
        layers = rng.choice((0, 1, 2, 3, 4, 4, 4))
        pruned, shares, capacity = (random_counts(rng, layers) for _ in range(3))
        threshold = rng.choice((None, 1e-3, 0.7, 2.0**-126, 2.0**126))
        if threshold is not None:
            threshold = torch.tensor(threshold, dtype=torch.float32).item()
        lower = rng.randint(0, sum(pruned) + 1)
        bounds = {"lower": lower, "upper": rng.randint(lower, lower + sum(pruned) + 1)}
        with dsr_kernels.backend(backend):
            result = allocate(pruned, shares, capacity, device, threshold, **bounds)
        grown, expected = oracle.allocate_growth(pruned, shares, capacity, threshold, **bounds)
        assert result == (grown if threshold is None else (grown, expected)), seed
        assert sum(grown) == sum(pruned), seed


@pytest.mark.parametrize(
    ("pruned", "shares", "capacity", "grown"),
    [
        ([10, 0], [3, 1], [99, 99], [8, 2]),  # 7.5 and 2.5: the lower layer first
        ([0, 10], [1, 3], [99, 99], [3, 7]),
        ([7, 0, 0], [1, 1, 1], [99, 99, 99], [3, 2, 2]),
        ([10, 0], [9, 1], [4, 99], [4, 6]),  # what does not fit goes round again
        ([10, 0, 0], [1, 0, 0], [2, 6, 2], [2, 6, 2]),  # no shares left: by room
        ([4, 0], [0, 0], [1, 3], [1, 3]),
        ([6, 2], [1, 1], [1, 1], [5, 3]),  # 1 + 1 free, the rest where it was pruned
        ([6, 2], [1, 1], [0, 0], [6, 2]),  # only just pruned places
        ([5, 5], [0, 1], [0, 0], [5, 5]),
        ([0, 0], [1, 1], [5, 5], [0, 0]),
        ([-5, 3], [1, -1], [9, 9], [3, 0]),  # negatives count as 0
        ([], [], [], []),
    ],
)
def test_splits_by_hand(pruned, shares, capacity, grown, backend, device):
    with dsr_kernels.backend(backend):
        assert allocate(pruned, shares, capacity, device) == grown


def test_products_of_the_largest_counts_are_exact(backend, device):
    big = 3 * BILLION
    with dsr_kernels.backend(backend):
        assert allocate([big, 0], [big - 1, 1], [big, big], device) == [big - 1, 1]
        half = big // 2
        assert allocate([half, half], [2**31 - 1] * 2, [half, half], device) == [half, half]


@pytest.mark.parametrize(
    ("total", "before", "after"),
    [
        (12, 1e-3, 5e-4),
        (11, 1e-3, 1e-3),
        (9, 1e-3, 1e-3),
        (8, 1e-3, 2e-3),
        (12, 2.0**-126, 2.0**-126),
        (8, 2.0**126, 2.0**126),
        (10, 0.0, 2.0**-126),
        (10, float("inf"), 2.0**126),
        (10, float("nan"), 2.0**-126),
    ],
)
def test_the_threshold_halves_and_doubles_within_bounds(total, before, after, backend, device):
    lower, upper = dsr_kernels.tolerance_bounds(10, 0.1)
    with dsr_kernels.backend(backend):
        grown, threshold = allocate([total], [1], [99], device, before, lower=lower, upper=upper)
    assert threshold == torch.tensor(after).item()
    assert grown == [total]


def test_without_bounds_the_threshold_stays(backend, device):
    with dsr_kernels.backend(backend):
        assert allocate([5], [1], [9], device, 0.5) == ([5], 0.5)
