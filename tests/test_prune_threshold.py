"""prune_threshold_ on every backend: against the oracle, and the cases that go wrong elsewhere."""

import oracle
import pytest
import torch
from op_cases import Case, bits_of, lists, padding_is_zero, same_values, seeds
from wide_nets import NETS, WideNet, same

import dsr_kernels
from dsr_kernels import BitMask, SparseLayout, prune_threshold_

OP = "prune_threshold_"
NAN = float("nan")


def prune(values, threshold, device="cpu", bits=None, **options):
    """One layer's weight, its bits and the op's three counts."""
    weight = torch.tensor(values, device=device)
    layout = SparseLayout.of_elements([len(values)])
    active = torch.tensor(bits or [True] * len(values), dtype=torch.bool)
    mask = BitMask.from_bools(layout, [active]).to(device)
    counts = prune_threshold_([weight], mask, torch.tensor([threshold], device=device), **options)
    return weight.tolist(), bits_of(mask)[0], [int(count) for count in counts]


@pytest.mark.parametrize("block", range(4))
def test_random_cases_against_the_oracle(block, backend, device):
    for seed in seeds(block):
        case = Case(seed, device)
        zero = case.rng.random() < 0.7
        threshold = case.rng.choice((0.0, 1e-45, 0.3, 0.5, 1.0, 10.0, float("inf")))
        tensors, mask = case.tensors(), case.mask()
        with dsr_kernels.backend(backend):
            counts = prune_threshold_(
                tensors, mask, torch.tensor([threshold], device=device), zero=zero
            )
        assert lists(counts) == list(oracle.prune_threshold(case.layers, threshold, zero)), seed
        assert bits_of(mask) == [layer.bits for layer in case.layers], seed
        assert same_values(tensors, case.layers), seed
        assert padding_is_zero(mask), seed
        assert case.canaries.intact(), seed


def test_a_magnitude_equal_to_the_threshold_stays(backend, device):
    with dsr_kernels.backend(backend):
        weight, bits, counts = prune([0.5, -0.5, 0.25, -0.75], 0.5, device)
    assert weight == [0.5, -0.5, 0.0, -0.75]
    assert bits == [True, True, False, True]
    assert counts == [1, 3, 0]


def test_a_layer_never_loses_everything(backend, device):
    with dsr_kernels.backend(backend):
        weight, bits, counts = prune([0.1, -0.3, 0.3, 0.2], 1.0, device)
    assert weight == pytest.approx([0.0, -0.3, 0.0, 0.0])
    assert bits == [False, True, False, False]
    assert counts == [3, 1, 0]


def test_nan_is_never_pruned_and_counted_with_inf(backend, device):
    with dsr_kernels.backend(backend):
        _, bits, counts = prune([NAN, float("inf"), 0.1, NAN], 1.0, device, [1, 1, 1, 0])
    assert bits == [True, True, False, False]
    assert counts == [1, 2, 2]


def test_pruned_zeros_lose_their_sign(backend, device):
    with dsr_kernels.backend(backend):
        weight, _, _ = prune([-0.0, 1.0, -1e-45], 0.5, device)
    assert [str(value) for value in weight] == ["0.0", "1.0", "0.0"]


def test_without_zero_only_the_mask_changes(backend, device):
    with dsr_kernels.backend(backend):
        weight, bits, _ = prune([0.5, 0.25, 1.0], 0.5, device, zero=False)
    assert weight == [0.5, 0.25, 1.0]
    assert bits == [True, False, True]


def test_inactive_units_are_left_alone(backend, device):
    """Pruning is not masking: what lies under a 0 bit is apply_mask_'s business."""
    with dsr_kernels.backend(backend):
        weight, bits, counts = prune([0.1, 0.1, 1.0], 0.5, device, [0, 1, 1])
    assert weight == pytest.approx([0.1, 0.0, 1.0])
    assert bits == [False, False, True]
    assert counts == [1, 1, 0]


def test_the_result_is_the_same_twice(backend, device):
    results = []
    for _ in range(2):
        case = Case(11, device)
        tensors, mask = case.tensors(), case.mask()
        with dsr_kernels.backend(backend):
            counts = prune_threshold_(tensors, mask, torch.tensor([0.4], device=device))
        results.append((lists(counts), bits_of(mask)))
    assert results[0] == results[1]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("threshold", [0.3, 100.0])
def test_wide_nets_as_the_reference(name, threshold, backend, device):
    net = WideNet(name, device)
    mask = net.mask(sparsity=0.6)
    limit = torch.tensor([threshold], device=device)
    results = []
    for run in (backend, "reference"):
        tensors, words = net.tensors(), mask.clone()
        with dsr_kernels.backend(run):
            counts = prune_threshold_(tensors, words, limit)
        results.append([*counts, words.words, *tensors])
    assert same(*results)
