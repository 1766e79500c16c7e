"""Elements and units past 2**31, without the memory, in kernels that draw or count."""

import pytest
import torch
import triton
import triton.language as tl

from dsr_kernels.reference import bijection
from dsr_kernels.reference.normal import normal_table, standard_normal
from dsr_kernels.reference.philox import random_words
from dsr_kernels.triton_kernels.add_noise import add_noise_kernel
from dsr_kernels.triton_kernels.bijection import permute
from dsr_kernels.triton_kernels.philox import seed_halves
from dsr_kernels.triton_kernels.prune_sign_flips import prune_sign_flips_kernel

BLOCK = 128
FAR = 2**34 + 5 * 2**20  # Philox's index, a quarter of it, does not fit 32 bits


def bits_of(words):
    return ((words[:, None] >> torch.arange(32)) & 1 == 1).flatten()


def test_noise_at_the_far_end_of_a_large_layer():
    seed, layer, counter = 2**63 + 5, 0, torch.tensor([2**32 + 3])
    words = torch.arange(2 * BLOCK // 32, dtype=torch.int32) * 0x01234567
    values = torch.zeros(2 * BLOCK)
    entry = (values.data_ptr() - FAR * 4, 2**35, layer, -(FAR // BLOCK))
    add_noise_kernel[(2,)](
        torch.tensor([entry]),
        words,
        torch.tensor([(2**35, 1, 1, -FAR // 32, 0)]),
        torch.tensor([0.5]),
        counter,
        normal_table(),
        1,
        *seed_halves(seed),
        2,
        STORED=tl.float32,
        STEPS=0,
        BLOCK=BLOCK,
        TILE=BLOCK,
    )
    index = torch.arange(FAR // 4, (FAR + 2 * BLOCK) // 4)
    drawn = random_words(index, seed, 2, layer, counter).flatten()
    assert torch.equal(values, torch.where(bits_of(words), 0.5 * standard_normal(drawn), 0.0))


def test_signs_at_the_far_end_of_a_large_layer():
    active, positive = (
        torch.arange(2 * BLOCK // 32, dtype=torch.int32) * factor
        for factor in (0x01234567, 0x0654321F)
    )
    before, was_positive, negative = bits_of(active), bits_of(positive), torch.zeros_like(active)
    weights = torch.where(torch.arange(2 * BLOCK) % 3 == 0, -1.0, 1.0)
    first = -(FAR // BLOCK)
    counts = torch.zeros(3, dtype=torch.int64)
    prune_sign_flips_kernel[(2,)](
        torch.tensor([(weights.data_ptr() - FAR * 4, 0, 0)]),
        active,
        positive,
        negative,
        torch.tensor([(2**35, 1, 1, -FAR // 32, 0)]),
        torch.zeros(2, dtype=torch.int32),
        torch.tensor([first, first + 2]),
        torch.zeros(4, dtype=torch.int64),
        *counts.split(1),
        ZERO=True,
        DTYPE=0,
        CHUNK=BLOCK,
    )
    falls = torch.arange(2 * BLOCK) % 3 == 0
    gone = before & falls & was_positive
    assert torch.equal(bits_of(active), before & ~gone)
    assert torch.equal(bits_of(negative), before & falls & ~gone)
    assert torch.equal(weights == 0, gone)
    assert counts.tolist() == [int(gone.sum()), int((before & ~gone).sum()), 0]


RANKS = tl.constexpr(8)


@triton.jit
def permute_kernel(ranks_ptr, places_ptr, keys_ptr, size):
    ranks = tl.load(ranks_ptr + tl.arange(0, RANKS))
    sizes = size + 0 * ranks
    tl.store(places_ptr + tl.arange(0, RANKS), permute(ranks, sizes, keys_ptr + 0 * ranks))


@pytest.mark.parametrize("size", [2**31 - 1, 2**31, 2**31 + 1, 3 * 10**9, 2**32])
def test_places_among_billions(size):
    keys = bijection.round_keys(3, 1, 0, torch.tensor([7]))
    ranks = torch.tensor([0, 1, size // 3, size // 2, 2**31 - 2, size - 3, size - 2, size - 1])
    places = torch.zeros(RANKS.value, dtype=torch.int64)
    stored = torch.where(keys < 2**31, keys, keys - 2**32).to(torch.int32)
    permute_kernel[(1,)](ranks, places, stored, size)
    assert torch.equal(places, bijection.permute(ranks, size, keys))
