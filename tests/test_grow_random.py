"""grow_random_ on every backend: bit for bit the oracle's draws, exact counts, allowed places."""

import oracle_random
import pytest
import torch
from op_cases import Case, bits_of, padding_is_zero, seeds

import dsr_kernels
from dsr_kernels import BitMask, Purpose, SparseLayout, grow_random_
from dsr_kernels.reference.philox import philox4x32

OP = "grow_random_"


def grow(bits, previous, count, device, seed=3, number=0, **options):
    """The bits of one layer after growing, and how many grew."""
    layout = SparseLayout.of_elements([len(bits)])
    masks = [
        BitMask.from_bools(layout, [torch.tensor(row, dtype=torch.bool)]).to(device)
        for row in (bits, previous)
    ]
    counts, numbers = (torch.tensor([value], device=device) for value in (count, number))
    grown = grow_random_(*masks, counts, seed=seed, reallocation=numbers, **options)
    return bits_of(masks[0])[0], int(grown)


@pytest.mark.parametrize("block", range(4))
def test_random_cases_against_the_oracle(block, backend, device):
    for seed in seeds(block):
        case = Case(seed, device)
        before = [layer.bits for layer in case.layers]
        bits = case.later_bits()
        counts = [min(count, 25) for count in case.counts()]
        number = case.rng.choice((0, 1, 2**31, 2**32 + 5, 2**63 - 1))
        key = case.rng.choice((0, 1, 2**63, 2**64 - 1, case.rng.getrandbits(64)))
        purpose = case.rng.choice((*Purpose, 2**15 - 1))
        mask = case.mask(bits)
        with dsr_kernels.backend(backend):
            grown = grow_random_(
                mask,
                case.mask(before),
                case.int64(counts),
                seed=key,
                reallocation=case.int64([number]),
                purpose=purpose,
            )
        expected = oracle_random.grow_random(bits, before, counts, key, number, int(purpose))
        assert grown.tolist() == expected, seed
        assert bits_of(mask) == bits, seed
        assert padding_is_zero(mask), seed
        assert case.canaries.intact(), seed


@pytest.mark.parametrize("size", [1000, 4099])
def test_larger_layers_against_the_oracle(size, backend, device):
    bits = [[u % 3 == 0 or u > size - 40 for u in range(size)]]
    before = [list(bits[0])]
    mask, previous = (
        BitMask.from_bools(SparseLayout.of_elements([size]), [torch.tensor(bits[0])]).to(device)
        for _ in range(2)
    )
    counts, number = (torch.tensor([value], device=device) for value in (size // 4, 9))
    with dsr_kernels.backend(backend):
        grow_random_(mask, previous, counts, seed=5, reallocation=number)
    oracle_random.grow_random(bits, before, [size // 4], 5, 9, 1)
    assert bits_of(mask) == bits


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_known_answers(counter, key, words):
    tensors = [torch.tensor(word) for word in counter]
    assert " ".join(f"{word:08x}" for word in philox4x32(tensors, key).tolist()) == words
    assert " ".join(f"{word:08x}" for word in oracle_random.philox(counter, key)) == words


@pytest.mark.parametrize("size", [*range(1, 70), 1000])
def test_the_network_is_a_bijection(size):
    """The oracle's, which every backend must equal."""
    keys = [word for index in range(3) for word in oracle_random.words(index, 1, 1, 0, size)]
    places = {oracle_random.place_of_rank(rank, size, keys) for rank in range(size)}
    assert places == set(range(size))


def test_just_pruned_places_only_take_the_rest(backend, device):
    bits, previous = [False] * 100, [u < 60 for u in range(100)]
    with dsr_kernels.backend(backend):
        after, grown = grow(bits, previous, 30, device)
        assert (sum(after[:60]), sum(after[60:]), grown) == (0, 30, 30)
        after, grown = grow(bits, previous, 45, device)
        assert (sum(after[:60]), sum(after[60:]), grown) == (5, 40, 45)
        after, grown = grow(bits, previous, 1000, device)
        assert (sum(after), grown) == (100, 100)


def test_with_the_pruned_mask_as_previous_just_pruned_places_are_free(backend, device):
    with dsr_kernels.backend(backend):
        after, _ = grow([False] * 100, [False] * 100, 50, device)
    assert 0 < sum(after[:60]) < 50


def test_the_only_free_place_is_taken(backend, device):
    bits = [u != 77 for u in range(200)]
    with dsr_kernels.backend(backend):
        assert grow(bits, bits, 1, device) == ([True] * 200, 1)
        assert grow(bits, bits, 0, device) == (bits, 0)
        assert grow(bits, bits, -1, device) == (bits, 0)
        assert grow([True] * 200, bits, 1, device) == ([True] * 200, 0)


def test_every_part_of_the_counter_changes_the_draw(backend, device):
    free = [False] * 500
    with dsr_kernels.backend(backend):
        draws = [
            grow(free, free, 100, device)[0],
            grow(free, free, 100, device, seed=4)[0],
            grow(free, free, 100, device, seed=3 + 2**32)[0],
            grow(free, free, 100, device, number=1)[0],
            grow(free, free, 100, device, purpose=Purpose.INITIAL_MASK)[0],
        ]
        again = grow(free, free, 100, device)[0]
    assert again == draws[0]
    assert len({tuple(draw) for draw in draws}) == len(draws)


def test_layers_draw_independently(backend, device):
    mask = BitMask.zeros(SparseLayout.of_elements([500, 500]), device)
    counts, number = torch.tensor([100, 100], device=device), torch.tensor([0], device=device)
    with dsr_kernels.backend(backend):
        grow_random_(mask, mask.clone(), counts, seed=3, reallocation=number)
    first, second = bits_of(mask)
    assert first != second
    assert sum(first) == sum(second) == 100


def test_only_the_low_32_bits_of_the_reallocation_count(backend, device):
    free = [False] * 300
    with dsr_kernels.backend(backend):
        low = grow(free, free, 50, device, number=7)
        assert grow(free, free, 50, device, number=2**32 + 7) == low
        assert grow(free, free, 50, device, number=8) != low
