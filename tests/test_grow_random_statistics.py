"""The draws of grow_random_ are uniform: small and large layers, and between draws.

Thousands of draws at once come from the reference's Philox and bijection; the first test holds
them against the op. Every limit is five standard deviations, at fixed seeds.
"""

import pytest
import torch
from random_statistics import contrast_z, first_pair_z, inclusion_z, overlap_z, subsets_z

from dsr_kernels import BitMask, SparseLayout, grow_random_
from dsr_kernels.reference.bijection import domain_bits, feistel
from dsr_kernels.reference.philox import random_words

LIMIT = 5
ROUNDS = 40_000


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads of small operations cost more than they bring where tests run side by side."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def draw(n, k, rounds, seed=0, layer=0, purpose=1, spoil=lambda keys: keys):
    """Places of ranks 0..k-1 among n in reallocations 0..rounds-1: int64 [rounds, k]."""
    numbers = torch.arange(rounds).view(rounds, 1)
    keys = random_words(torch.arange(3).view(1, 3), seed, purpose, layer, numbers)
    keys = spoil(keys.view(rounds, 12)).T
    bits = domain_bits(n)
    places = feistel(torch.arange(k).expand(rounds, k), bits, keys.unsqueeze(2))
    rows, ranks = (places >= n).nonzero(as_tuple=True)
    while len(rows):
        again = feistel(places[rows, ranks], bits, keys[:, rows])
        places[rows, ranks] = again
        rows, ranks = rows[again >= n], ranks[again >= n]
    return places


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


def test_keys_of_8_bits_are_found_out():
    broken = draw(6, 3, 4 * ROUNDS, seed=1, spoil=lambda keys: keys[:, :1] % 256 + 0 * keys)
    assert abs(subsets_z(broken, 6)) > LIMIT


def test_a_counter_used_twice_is_found_out():
    places = draw(600, 60, 200, spoil=lambda keys: keys[:1].expand_as(keys))
    assert abs(overlap_z(places[:-1], places[1:], 600)) > LIMIT


def test_a_modulo_bias_is_found_out():
    words = random_words(torch.arange(ROUNDS), 1, 1, 0, torch.tensor([0]))[:, :1]
    assert abs(inclusion_z((words & 0xFF) % 40, 40)) > LIMIT


def test_a_network_with_a_single_key_is_found_out():
    """The other rounds are the same in every draw."""
    broken = draw(6, 3, 4 * ROUNDS, seed=1, spoil=lambda keys: keys * (torch.arange(12) < 1))
    assert abs(subsets_z(broken, 6)) > LIMIT


def test_a_network_of_3_bits_would_be_found_out():
    """Why domain_bits never answers 3."""
    keys = random_words(
        torch.arange(3).view(1, 3), 1, 1, 0, torch.arange(2 * ROUNDS).view(-1, 1)
    ).view(-1, 12)
    places = feistel(torch.arange(2).expand(2 * ROUNDS, 2), 3, keys.T.unsqueeze(2))
    assert abs(first_pair_z(places, 8)) > LIMIT
