"""prune_smallest_ on every backend: against the oracle, exact counts, ties and NaN."""

import oracle
import pytest
import torch
from crowded_net import CrowdedNet
from op_cases import Case, bits_of, lists, padding_is_zero, same_values, seeds
from wide_nets import NETS, WideNet, same

import dsr_kernels
from dsr_kernels import BitMask, SparseLayout, kth_magnitude, prune_smallest_

OP = "prune_smallest_"
NAN = float("nan")


def prune(values, k, device="cpu", **options):
    """One layer's weight, its bits and the op's three counts."""
    weight = torch.tensor(values, dtype=torch.float32, device=device)
    mask = BitMask.ones(SparseLayout.of_elements([len(values)]), device)
    counts = prune_smallest_([weight], mask, torch.tensor([k], device=device), **options)
    return weight.tolist(), bits_of(mask)[0], [int(count) for count in counts]


@pytest.mark.parametrize("block", range(4))
def test_random_cases_against_the_oracle(block, backend, device):
    for seed in seeds(block):
        case = Case(seed, device)
        per_layer, zero, keep_one = (case.rng.random() < 0.6 for _ in range(3))
        k = case.counts(per_layer)
        tensors, mask = case.tensors(), case.mask()
        with dsr_kernels.backend(backend):
            counts = prune_smallest_(
                tensors, mask, case.int64(k), per_layer=per_layer, zero=zero, keep_one=keep_one
            )
        expected = oracle.prune_smallest(case.layers, k, per_layer, zero, keep_one)
        assert lists(counts) == list(expected), seed
        assert bits_of(mask) == [layer.bits for layer in case.layers], seed
        assert same_values(tensors, case.layers), seed
        assert padding_is_zero(mask), seed
        assert case.canaries.intact(), seed


def test_ties_go_to_the_lowest_index(backend, device):
    with dsr_kernels.backend(backend):
        weight, bits, counts = prune([-1.0, 1.0, 0.5, 1.0], 2, device)
    assert weight == [0.0, 1.0, 0.0, 1.0]
    assert bits == [False, True, False, True]
    assert counts == [2, 2, 0]


def test_all_zeros_are_pruned_exactly_k_times(backend, device):
    with dsr_kernels.backend(backend):
        _, bits, counts = prune([0.0, -0.0] * 50, 37, device)
    assert bits == [False] * 37 + [True] * 63
    assert counts == [37, 63, 0]


def test_nan_is_never_pruned(backend, device):
    with dsr_kernels.backend(backend):
        _, bits, counts = prune([NAN, 1.0, NAN, 2.0], 3, device)
    assert bits == [True, False, True, False]
    assert counts == [2, 2, 2]


@pytest.mark.parametrize(("keep_one", "left"), [(False, [False] * 3), (True, [False, True, False])])
def test_a_whole_layer_goes_unless_one_is_kept(keep_one, left, backend, device):
    with dsr_kernels.backend(backend):
        _, bits, counts = prune([1.0, 2.0, -2.0], 3, device, keep_one=keep_one)
    assert bits == left
    assert counts == [3 - sum(left), sum(left), 0]


def test_over_all_layers_the_weakest_go_wherever_they_are(backend, device):
    layout = SparseLayout.of_elements([3, 3])
    weights = [
        torch.tensor([1.0, 0.1, 2.0], device=device),
        torch.tensor([0.1, 0.2, 0.1], device=device),
    ]
    mask = BitMask.ones(layout, device)
    with dsr_kernels.backend(backend):
        pruned, surviving, _ = prune_smallest_(
            weights, mask, torch.tensor([2], device=device), per_layer=False
        )
    assert pruned.tolist() == [1, 1]
    assert surviving.tolist() == [2, 2]
    assert bits_of(mask) == [[True, False, True], [False, True, True]]


def test_it_prunes_what_kth_magnitude_selects(backend, device):
    units, wanted = 1500, 431
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(units, generator=generator).half().float().to(device)
    mask = BitMask.ones(SparseLayout.of_elements([units]), device)
    k = torch.tensor([wanted], device=device)
    with dsr_kernels.backend(backend):
        select, _, _ = kth_magnitude([values], mask, k)
        prune_smallest_([values.clone()], mask, k)
    cut, tie = select[0].tolist()
    keys = values.abs().view(torch.int32)
    selected = (keys < cut) | ((keys == cut) & (torch.arange(units, device=device) < tie))
    assert int(selected.sum()) == wanted
    assert torch.equal(mask.to_bools()[0], ~selected)


def test_without_zero_only_the_mask_changes(backend, device):
    with dsr_kernels.backend(backend):
        weight, bits, _ = prune([3.0, 1.0], 1, device, zero=False)
    assert weight == [3.0, 1.0]
    assert bits == [True, False]


def test_the_oracle_orders_by_magnitude_and_index():
    """The oracle itself, by hand: its order is what every backend is held to."""
    keys = [oracle.float_key(value) for value in (2.0, NAN, -1.0, 1.0)]
    assert oracle.in_order(keys, range(4), largest=False) == [2, 3, 0, 1]
    assert oracle.in_order(keys, range(4), largest=True) == [0, 2, 3, 1]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("per_layer", [True, False])
def test_wide_nets_as_the_reference(name, per_layer, backend, device):
    net = WideNet(name, device)
    mask, k = net.mask(sparsity=0.6), net.counts(0.2, per_layer)
    results = []
    for run in (backend, "reference"):
        tensors, words = net.tensors(), mask.clone()
        with dsr_kernels.backend(run):
            counts = prune_smallest_(tensors, words, k, per_layer=per_layer, keep_one=True)
        results.append([*counts, words.words, *tensors])
    assert same(*results)


@pytest.mark.parametrize("per_layer", [True, False])
def test_crowded_digits_as_the_reference(per_layer, backend, device):
    net = CrowdedNet(device)
    for k in net.counts(largest=False, per_layer=per_layer):
        results = []
        for run in (backend, "reference"):
            tensors, mask = net.tensors(), net.mask()
            with dsr_kernels.backend(run):
                counts = prune_smallest_(tensors, mask, k, per_layer=per_layer)
            results.append([*counts, mask.words, *tensors])
        assert same(*results), k
