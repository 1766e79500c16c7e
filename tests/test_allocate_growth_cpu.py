"""allocate_growth in C++: the integers and the threshold's bits of the reference."""

import math
import random

import pytest
import torch

import dsr_kernels
from dsr_kernels import allocate_growth

THRESHOLDS = (0.0, -0.0, -1.0, 1e-3, 2.0**-126, 2.0**126, 3e38, 1e-45, math.inf, math.nan)
LARGEST = 3 * 10**9


def random_counts(rng, layers):
    """Ties, zeros, negatives, and counts up to and above what an op supports."""
    most = rng.choice((1, 3, 10, 1000, 10**6, 7 * 10**8, LARGEST, 2**62))
    rare = rng.choice((0, 1, most, -rng.randint(0, most)))
    chance = rng.choice((0.0, 0.2, 0.9))
    return [rare if rng.random() < chance else rng.randint(0, most) for _ in range(layers)]


def allocate(backend, vectors, threshold, bounds):
    threshold = None if threshold is None else torch.tensor([threshold], dtype=torch.float32)
    with dsr_kernels.backend(backend):
        grown = allocate_growth(*vectors, threshold=threshold, **bounds).tolist()
    return grown, None if threshold is None else threshold.view(torch.int32).item()


def assert_same(rng, layers):
    vectors = [torch.tensor(random_counts(rng, layers), dtype=torch.int64) for _ in range(3)]
    total = int(vectors[0].clamp(0, LARGEST).sum())
    lower = rng.choice((0, total, total + 1, rng.randint(0, total + 1)))
    upper = rng.choice((2**63 - 1, total, max(0, total - 1), lower))
    threshold = rng.choice((None, rng.random(), *THRESHOLDS))
    inputs = (vectors, threshold, {"lower": lower, "upper": upper})
    assert allocate("cpu", *inputs) == allocate("reference", *inputs)


@pytest.mark.parametrize("block", range(4))
def test_random_cases(block):
    for seed in range(block * 900, (block + 1) * 900):
        rng = random.Random(seed)
        assert_same(rng, rng.randint(0, 9))


def test_random_cases_of_many_layers():
    for seed in range(150):
        rng = random.Random(seed)
        assert_same(rng, rng.choice((54, 161, 1000)))
