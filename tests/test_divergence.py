"""The hash that finds a rank whose masks differ, and what its error says."""

import pytest
import torch
from nets import mlp

import dsr
from dsr.divergence import DivergenceWatch, RankDivergenceError, mask_hash, raise_if_different
from dsr_kernels import BitMask, SparseLayout

WORDS = 40


def random_words(seed=0, words=WORDS):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-(2**31), 2**31, (words,), generator=generator).int()


def expected_hash(words):
    """The formula in Python's integers."""
    total = 0
    for position, word in enumerate(words.tolist(), start=1):
        factor = wrapped(position * 0x9E3779B97F4A7C15)
        factor = wrapped((factor ^ (factor >> 32)) * 0xBF58476D1CE4E5B9) | 1
        total += word * factor
    return wrapped(total)


def wrapped(number):
    return (number + 2**63) % 2**64 - 2**63


def test_the_formula(device):
    for seed in range(3):
        words = random_words(seed).to(device)
        assert int(mask_hash(words)) == expected_hash(words)


def test_every_single_bit_and_pair_of_bits_in_a_word_counts():
    words = random_words()
    seen = {int(mask_hash(words))}
    for word in range(WORDS):
        for bits in range(32 * 32):
            changed = words.clone()
            flips = (1 << bits // 32) | (1 << bits % 32)
            changed[word] ^= flips - 2**32 if flips >= 2**31 else flips
            seen.add(int(mask_hash(changed)))
    assert len(seen) == 1 + WORDS * (32 + 32 * 31 // 2)


def test_moving_a_bit_to_any_other_place_counts():
    words = torch.zeros(WORDS, dtype=torch.int32)
    seen = set()
    for place in range(32 * WORDS):
        words.zero_()[place // 32] = -(2**31) if place % 32 == 31 else 1 << place % 32
        seen.add(int(mask_hash(words)))
    assert len(seen) == 32 * WORDS


def test_exchanged_words_count():
    words = random_words()
    seen = {int(mask_hash(words[torch.tensor(order)])) for order in ([1, 0, 2, 3], [2, 1, 0, 3])}
    assert len(seen | {int(mask_hash(words[:4]))}) == 3


def test_an_empty_mask_has_a_hash():
    assert int(mask_hash(BitMask.zeros(SparseLayout(())).words)) == 0


@pytest.mark.parametrize(
    ("hashes", "named"),
    [
        ([7, 8], r"rank 1 \(of 2\) differ from those of rank 0"),
        ([8, 7, 7], r"rank 0 \(of 3\) differ from those of the majority"),
        ([7, 7, 8, 7], r"rank 2 \(of 4\) differ from those of the majority"),
        ([7, 8, 8, 7], r"ranks 1, 2 \(of 4\) differ from those of rank 0"),
        ([1, 2, 3], r"ranks 1, 2 \(of 3\) differ from those of rank 0"),
        ([5, 5, 1, 5, 2], r"ranks 2, 4 \(of 5\) differ from those of the majority"),
    ],
)
def test_the_ranks_that_differ_are_named(hashes, named):
    with pytest.raises(RankDivergenceError, match=f"after reallocation 12 the masks of {named}"):
        raise_if_different(hashes, torch.tensor([12]))


def test_equal_hashes_are_fine():
    raise_if_different([3, 3, 3], torch.tensor([1]))


def test_without_other_ranks_nothing_is_compared(device):
    watch = DivergenceWatch()
    number = torch.ones(1, dtype=torch.int64, device=device)
    watch.submit(random_words().to(device), number, step=1)
    assert watch._pending is None
    watch.check()
    assert watch.due(step=2)


def test_comparisons_are_some_steps_apart():
    watch, compared = DivergenceWatch(), []
    for step in [*range(1, 40), 3]:  # at last a checkpoint takes training back
        if watch.due(step):
            watch._step = step
            compared.append(step)
    assert compared == [1, 17, 33, 3]


def test_a_process_group_that_is_none_is_refused():
    with pytest.raises(TypeError, match="process_group: expected a torch"):
        dsr.sparsify(mlp(), dsr.Static(0.5), process_group="gloo")
