"""grow_random_ in C++ gives the bits of the reference."""

import pytest
import torch
from native_cases import cases, same_bits, torch_threads

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, SparseLayout, grow_random_


def check(mask, previous, counts, threads=(1, 2), **draw):
    """cpu must grow what reference grows, write nothing else, and leave ``previous`` alone."""
    wanted, before = mask.clone(), previous.clone()
    with dsr_kernels.backend("reference"), torch_threads(1):
        expected = grow_random_(wanted, previous, counts, **draw)
    for number in threads:
        grown_mask = mask.clone()
        with dsr_kernels.backend("cpu"), torch_threads(number):
            grown = grow_random_(grown_mask, previous, counts, **draw)
        where = f"{mask.layout}, {counts}, {draw}, {number} threads"
        assert torch.equal(grown, expected), where
        assert same_bits(grown_mask.words, wanted.words), where
        assert same_bits(previous.words, before.words), where


def some_counts(case):
    """None, a few, one less than the free places, just these, more, all and more than all."""
    counts = []
    for bits in case.previous.to_bools():
        units, free, rng = len(bits), int((~bits).sum()), case.random
        few = rng.randint(0, max(1, free // 10))
        beyond = rng.randint(free, units + 3)
        counts.append(rng.choice((0, 1, few, few, free - 1, free, beyond, units, -5, 2**62)))
    return torch.tensor(counts)


@pytest.mark.parametrize("block", range(3))
def test_equals_the_reference(block):
    for case in cases(1000, seed=block, large=10):
        check(
            case.mask,
            case.previous,
            some_counts(case),
            seed=case.random.choice((0, 2**64 - 1, case.random.getrandbits(64))),
            reallocation=torch.tensor([case.random.choice((0, 7, 2**32 + 3, -1, 2**63 - 1))]),
            purpose=case.random.choice((0, 1, 2, 2**15 - 1)),
        )


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
def test_layers_that_several_threads_share(fraction):
    """Enough mask words and ranks for every loop to get its threads."""
    layout = SparseLayout((LayerShape(300_001), LayerShape(40), LayerShape(1_001, 3, 131)))
    generator = torch.Generator().manual_seed(1)
    bits = [torch.rand(shape.units, generator=generator) < fraction for shape in layout.layers]
    kept = [row & (torch.rand(len(row), generator=generator) < 0.7) for row in bits]
    masks = BitMask.from_bools(layout, kept), BitMask.from_bools(layout, bits)
    for counts in ([20_000, 3, 10_000], [290_000, 41, 100_000]):
        draw = {"seed": 11, "reallocation": torch.tensor([5])}
        check(*masks, torch.tensor(counts), threads=(1, 2, 3), **draw)


def test_bits_behind_a_layer_are_no_places():
    mask = BitMask.zeros(SparseLayout.of_elements([33]))
    previous = mask.clone()
    previous.words[1:] = -2
    with dsr_kernels.backend("cpu"):
        number = torch.tensor([0])
        grown = grow_random_(mask, previous, torch.tensor([99]), seed=1, reallocation=number)
    assert grown.tolist() == [33]
    assert mask.words.tolist() == [-1, 1, 0, 0]
