"""grow_largest_ on every backend: against the oracle, exact counts, where it may grow."""

import oracle
import pytest
import torch
from crowded_net import CrowdedNet
from op_cases import Case, bits_of, padding_is_zero, seeds
from wide_nets import NETS, WideNet, same

import dsr_kernels
from dsr_kernels import BitMask, SparseLayout, grow_largest_

OP = "grow_largest_"
NAN = float("nan")


def grow(scores, bits, previous, count, device):
    """The bits of one layer after growing, and how many grew."""
    layout = SparseLayout.of_elements([len(scores)])
    masks = [
        BitMask.from_bools(layout, [torch.tensor(row, dtype=torch.bool)]).to(device)
        for row in (bits, previous)
    ]
    tensor = torch.tensor(scores, device=device)
    grown = grow_largest_(*masks, [tensor], torch.tensor([count], device=device))
    assert bits_of(masks[1]) == [[bool(bit) for bit in previous]]
    return [int(bit) for bit in bits_of(masks[0])[0]], int(grown)


@pytest.mark.parametrize("block", range(4))
def test_random_cases_against_the_oracle(block, backend, device):
    for seed in seeds(block):
        case = Case(seed, device)
        per_layer = case.rng.random() < 0.6
        before = [layer.bits for layer in case.layers]
        previous = case.mask()
        for layer, bits in zip(case.layers, case.later_bits(), strict=True):
            layer.bits = bits
        counts, mask = case.counts(per_layer), case.mask()
        with dsr_kernels.backend(backend):
            grown = grow_largest_(
                mask, previous, case.tensors(), case.int64(counts), per_layer=per_layer
            )
        expected = oracle.grow_largest(case.layers, before, counts, per_layer)
        assert grown.tolist() == expected, seed
        assert bits_of(mask) == [layer.bits for layer in case.layers], seed
        assert padding_is_zero(mask), seed
        assert case.canaries.intact(), seed


def test_the_largest_magnitudes_grow_and_ties_go_to_the_lowest_index(backend, device):
    with dsr_kernels.backend(backend):
        bits, grown = grow([1.0, -3.0, 1.0, 9.0, 1.0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0], 3, device)
    assert bits == [1, 1, 1, 1, 0]
    assert grown == 3


def test_a_nan_score_comes_last(backend, device):
    with dsr_kernels.backend(backend):
        bits, _ = grow([NAN, 0.0, float("inf")], [0, 0, 0], [0, 0, 0], 2, device)
    assert bits == [0, 1, 1]


def test_just_pruned_places_only_take_the_rest(backend, device):
    scores, bits, previous = [9.0, 8.0, 1.0, 2.0], [0, 0, 0, 0], [1, 1, 0, 0]
    with dsr_kernels.backend(backend):
        assert grow(scores, bits, previous, 2, device) == ([0, 0, 1, 1], 2)
        assert grow(scores, bits, previous, 3, device) == ([1, 0, 1, 1], 3)
        assert grow(scores, bits, previous, 9, device) == ([1, 1, 1, 1], 4)


def test_with_the_pruned_mask_as_previous_all_places_compete(backend, device):
    with dsr_kernels.backend(backend):
        bits, _ = grow([9.0, 8.0, 1.0, 2.0], [0, 0, 0, 0], [0, 0, 0, 0], 2, device)
    assert bits == [1, 1, 0, 0]


def test_a_full_layer_and_no_count_grow_nothing(backend, device):
    with dsr_kernels.backend(backend):
        assert grow([1.0, 1.0], [1, 1], [1, 1], 2, device) == ([1, 1], 0)
        assert grow([1.0, 1.0], [0, 1], [0, 1], 0, device) == ([0, 1], 0)
        assert grow([1.0, 1.0], [0, 1], [0, 1], -4, device) == ([0, 1], 0)


def test_over_all_layers_the_count_is_shared(backend, device):
    layout = SparseLayout.of_elements([2, 3])
    mask = BitMask.zeros(layout, device)
    scores = [
        torch.tensor([1.0, 5.0], device=device),
        torch.tensor([5.0, 5.0, 0.0], device=device),
    ]
    with dsr_kernels.backend(backend):
        grown = grow_largest_(
            mask, mask.clone(), scores, torch.tensor([2], device=device), per_layer=False
        )
    assert grown.tolist() == [1, 1]
    assert bits_of(mask) == [[False, True], [True, False, False]]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("per_layer", "fraction"), [(True, 0.1), (False, 0.1), (True, 0.3)])
def test_wide_nets_as_the_reference(name, per_layer, fraction, backend, device):
    net = WideNet(name, device)
    previous = net.mask(sparsity=0.2)
    mask = BitMask(net.layout, previous.words & net.mask(sparsity=0.2).words)
    counts = net.counts(fraction, per_layer)
    results = []
    for run in (backend, "reference"):
        words = mask.clone()
        with dsr_kernels.backend(run):
            grown = grow_largest_(words, previous, net.tensors(), counts, per_layer=per_layer)
        results.append([grown, words.words])
    assert same(*results)


@pytest.mark.parametrize("just_pruned", [True, False])
def test_crowded_digits_as_the_reference(just_pruned, backend, device):
    """Those just pruned have a digit of their own."""
    net = CrowdedNet(device)
    mask = net.mask(active=False)
    previous = BitMask.ones(net.layout, device) if just_pruned else mask
    for k in net.counts(largest=True, per_layer=just_pruned):
        results = []
        for run in (backend, "reference"):
            words = mask.clone()
            with dsr_kernels.backend(run):
                grown = grow_largest_(words, previous, net.tensors(), k, per_layer=just_pruned)
            results.append([grown, words.words])
        assert same(*results), k
