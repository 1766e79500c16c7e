"""The draws of grow_random_ are uniform: small and large layers, and between draws.

Thousands of draws at once come from the reference's Philox and bijection; the first test holds
them against the op. Every limit is five standard deviations, at fixed seeds.
"""

import pytest
import torch
from random_statistics import (
    LIMIT,
    contrast_z,
    draw,
    first_pair_z,
    inclusion_z,
    overlap_z,
    subsets_z,
)

from dsr_kernels import BitMask, SparseLayout, grow_random_

ROUNDS = 40_000


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads of small operations cost more than they bring where tests run side by side."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("n", "k"), [(2, 1), (6, 3), (40, 13), (5000, 200)])
def test_these_are_the_ops_draws(n, k):
    places = draw(n, k, 5, seed=2**63 + 1)
    for number in range(5):
        mask = BitMask.zeros(SparseLayout.of_elements([n]))
        reallocation = torch.tensor([number])
        grow_random_(
            mask, mask.clone(), torch.tensor([k]), seed=2**63 + 1, reallocation=reallocation
        )
        assert mask.to_bools()[0].nonzero().squeeze(1).tolist() == places[number].sort()[0].tolist()


@pytest.mark.parametrize("n", range(2, 41))
def test_every_place_is_drawn_equally_often(n):
    for k in {1, max(1, n // 3)}:
        assert abs(inclusion_z(draw(n, k, 10_000, seed=n), n)) < LIMIT, k


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7, 8, 9, 16, 17, 31, 33])
def test_every_pair_is_drawn_equally_often(n):
    assert abs(first_pair_z(draw(n, 2, 2 * ROUNDS, seed=n), n)) < LIMIT


@pytest.mark.parametrize(("n", "k"), [(6, 3), (5, 2), (7, 3), (8, 4), (10, 5)])
def test_every_subset_is_drawn_equally_often(n, k):
    assert abs(subsets_z(draw(n, k, 4 * ROUNDS, seed=1), n)) < LIMIT


@pytest.mark.parametrize(("n", "k"), [(4096, 409), (5000, 250), (65_537, 300)])
def test_no_half_parity_or_residue_is_preferred(n, k):
    places = draw(n, k, 300, seed=3)
    index = torch.arange(n)
    assert abs(contrast_z(places, index < n // 2)) < LIMIT
    for modulus in (2, 4, 32, 1024):
        for residue in range(0, modulus, max(1, modulus // 8)):
            assert abs(contrast_z(places, index % modulus == residue)) < LIMIT, (modulus, residue)


def test_draws_overlap_as_independent_ones():
    n, k, rounds = 600, 60, 1000
    places = draw(n, k, rounds)
    assert abs(overlap_z(places[:-1], places[1:], n)) < LIMIT
    for other in ({"layer": 1}, {"seed": 1}, {"purpose": 0}, {"purpose": 1 + 0x8000}):
        assert abs(overlap_z(places, draw(n, k, rounds, **other), n)) < LIMIT, other


FREE_SETS = {
    "one free": [77],
    "two free, far apart": [0, 299],
    "clustered": [*range(40, 64), *range(130, 137)],
    "every third": [*range(0, 300, 3)],
    "all but one": [unit for unit in range(300) if unit != 31],
    "all free": [*range(300)],
}


@pytest.mark.parametrize("name", FREE_SETS)
def test_free_sets_of_odd_shapes_are_drawn_from_equally(name):
    free = torch.tensor(FREE_SETS[name])
    layout, k = SparseLayout.of_elements([300]), -(-len(free) // 3)
    bits = torch.ones(300, dtype=torch.bool)
    bits[free] = False
    start, counts = BitMask.from_bools(layout, [bits]), torch.tensor([k])
    rank = torch.full((300,), -1).index_put((free,), torch.arange(len(free)))
    draws = []
    for number in range(2000):
        mask = start.clone()
        grow_random_(mask, start, counts, seed=4, reallocation=torch.tensor([number]))
        draws.append(rank[mask.to_bools()[0] & ~bits])
    assert {len(grown) for grown in draws} == {k}
    if len(free) > 1:
        assert abs(inclusion_z(torch.stack(draws), len(free))) < LIMIT
