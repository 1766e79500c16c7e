"""Initial allocations are exact integers, at any size and any decimal."""

import random
from fractions import Fraction

import pytest
import torch
from nets import mlp

import dsr
from dsr.distributions import DISTRIBUTIONS, initial_counts
from dsr_kernels import LayerShape


def _counts(distribution, shapes, sparsity):
    layers = [LayerShape(torch.Size(shape).numel()) for shape in shapes]
    return initial_counts(distribution, shapes, layers, sparsity), [x.units for x in layers]


def test_uniform_takes_the_sparsity_as_a_decimal():
    counts, _ = _counts("uniform", [(1000, 1), (2**30, 1), (3, 7), (0, 4)], 0.9)
    assert counts == [100, 2**30 - (2**30 * 9) // 10, 21 - 18, 0]
    assert _counts("uniform", [(10, 10)], 0.0)[0] == [100]


def test_kernel_variant_follows_the_sum_of_all_sides():
    shapes = [(64, 64, 3, 3), (256, 256, 3, 3), (10, 256)]
    counts, sizes = _counts("erdos-renyi-kernel", shapes, 0.9)
    scale = Fraction(sum(counts), sum(sum(shape) for shape in shapes))
    assert sum(counts) == sum(sizes) - sum(sizes) * 9 // 10
    assert counts[2] == sizes[2]  # its share exceeds its size: full
    ratio = Fraction(counts[0], counts[1])
    assert abs(ratio - Fraction(64 + 64 + 6, 256 + 256 + 6)) < Fraction(1, 1000)
    assert scale > 0


def test_plain_variant_ignores_the_kernels_sides():
    shapes = [(64, 64, 3, 3), (256, 256, 3, 3)]
    counts, _ = _counts("erdos-renyi", shapes, 0.95)
    assert abs(Fraction(counts[0], counts[1]) - Fraction(128, 512)) < Fraction(1, 1000)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_random_networks_hit_the_total_and_no_limit(distribution):
    rng = random.Random(0)
    for _ in range(300):
        shapes = [
            tuple(
                rng.randint(0 if rng.random() < 0.05 else 1, 40) for _ in range(rng.choice([2, 4]))
            )
            for _ in range(rng.randint(1, 8))
        ]
        sparsity = rng.choice([0.0, 0.1, 0.5, 0.9, 0.98, 0.999, round(rng.random(), 6)])
        if sparsity == 1:
            continue
        counts, sizes = _counts(distribution, shapes, sparsity)
        exact = Fraction(str(sparsity))
        if distribution == "uniform":
            assert counts == [n - (exact * n).__floor__() for n in sizes]
        else:
            assert sum(counts) == sum(sizes) - (exact * sum(sizes)).__floor__()
        assert all(0 <= count <= n for count, n in zip(counts, sizes, strict=True))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_sparsify_draws_what_was_counted(distribution):
    model = mlp()
    sparse = dsr.sparsify(model, dsr.Static(0.9), distribution=distribution)
    shapes = [tuple(layer.shape) for layer in sparse.stats().layers]
    counts, _ = _counts(distribution, shapes, 0.9)
    assert [layer.active for layer in sparse.stats().layers] == counts
    assert sparse.stats().sparsity == pytest.approx(0.9, abs=0.01)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"distribution: expected one of uniform.*got 'normal'"):
        _counts("normal", [(3, 3)], 0.5)
