"""Generators with mistakes that others have made: the statistics of growth must find each."""

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

from dsr_kernels.reference.bijection import feistel
from dsr_kernels.reference.philox import random_words

ROUNDS = 40_000


def keys_of(rounds):
    counters = torch.arange(rounds).view(-1, 1)
    return random_words(torch.arange(3).view(1, 3), 1, 1, 0, counters).view(rounds, 12)


def keys_of_8_bits():
    return subsets_z(draw(6, 3, ROUNDS, spoil=lambda keys: keys[:, :1] % 256 + 0 * keys), 6)


def one_key_for_all_rounds_but_the_first():
    return subsets_z(draw(6, 3, ROUNDS, spoil=lambda keys: keys * (torch.arange(12) < 1)), 6)


def network_of_3_bits():
    """Why domain_bits never answers 3."""
    keys = keys_of(2 * ROUNDS).T.unsqueeze(2)
    return first_pair_z(feistel(torch.arange(2).expand(2 * ROUNDS, 2), 3, keys), 8)


def neighbours_instead_of_a_permutation():
    start = random_words(torch.arange(ROUNDS), 1, 1, 0, torch.tensor([0]))[:, :1]
    return first_pair_z((start + torch.arange(2)) % 31, 31)


def multiples_of_a_random_step():
    words = random_words(torch.arange(ROUNDS), 1, 1, 0, torch.tensor([0]))
    start, step = words[:, :1] % 17, 1 + words[:, 1:2] % 16
    return subsets_z((start + step * torch.arange(3)) % 17, 17)


def modulo_of_a_byte():
    words = random_words(torch.arange(ROUNDS), 1, 1, 0, torch.tensor([0]))[:, :1]
    return inclusion_z((words & 0xFF) % 40, 40)


def folded_instead_of_walked():
    """Places behind the last one are taken modulo n."""
    keys = keys_of(ROUNDS).T.unsqueeze(2)
    return inclusion_z(feistel(torch.arange(1).expand(ROUNDS, 1), 6, keys) % 40, 40)


def float16_places():
    """A uniform number of 11 bits times n reaches only every other place of 4096."""
    word = random_words(torch.arange(ROUNDS), 1, 1, 0, torch.tensor([0]))[:, :1]
    return contrast_z((word >> 21) * 4096 // 2048, torch.arange(4096) % 2 == 1)


def first_half_only():
    return contrast_z(draw(2048, 200, 300), torch.arange(4096) < 2048)


def last_bits_of_a_word_left_out():
    """The last place of each mask word is never reached."""
    places = draw(4096, 200, 300)
    return contrast_z(places - (places % 32 == 31).long(), torch.arange(4096) % 32 == 31)


def counter_used_twice():
    places = draw(600, 60, 200, spoil=lambda keys: keys[:1].expand_as(keys))
    return overlap_z(places[:-1], places[1:], 600)


def reallocations_numbered_by_a_byte():
    places = draw(600, 60, 512, spoil=lambda keys: keys[torch.arange(512) % 256])
    return overlap_z(places[:256], places[256:], 600)


def layers_that_share_numbers():
    return of_two_that_should_differ("layer", (0, 1), lambda layer: 0)


def seeds_cut_to_32_bits():
    return of_two_that_should_differ("seed", (3, 3 + 2**32), lambda seed: seed % 2**32)


def purposes_cut_to_15_bits():
    return of_two_that_should_differ("purpose", (1, 0x8001), lambda purpose: purpose & 0x7FFF)


def of_two_that_should_differ(argument, values, taken):
    """Draws for two values of an argument, of which the generator takes in ``taken(value)``."""
    one, two = (draw(600, 60, 1000, **{argument: taken(value)}) for value in values)
    return overlap_z(one, two, 600)


GENERATORS = (
    keys_of_8_bits,
    one_key_for_all_rounds_but_the_first,
    network_of_3_bits,
    neighbours_instead_of_a_permutation,
    multiples_of_a_random_step,
    modulo_of_a_byte,
    folded_instead_of_walked,
    float16_places,
    first_half_only,
    last_bits_of_a_word_left_out,
    counter_used_twice,
    reallocations_numbered_by_a_byte,
    layers_that_share_numbers,
    seeds_cut_to_32_bits,
    purposes_cut_to_15_bits,
)


@pytest.mark.parametrize("generator", GENERATORS, ids=lambda generator: generator.__name__)
def test_is_found_out(generator):
    assert abs(generator()) > LIMIT
