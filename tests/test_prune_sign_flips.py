"""prune_sign_flips_ on every backend: against the oracle, and the numbers without a sign."""

import oracle
import pytest
import torch
from op_cases import Case, bits_of, lists, padding_is_zero, same_values, seeds

import dsr_kernels
from dsr_kernels import BitMask, SparseLayout, prune_sign_flips_

OP = "prune_sign_flips_"
INF, NAN = float("inf"), float("nan")


class ElementCase(Case):
    """Units are single elements: a group has no sign."""

    def _shape(self):
        rows = self.rng.choice((0, 1, 2, 31, 32, 33, 130, self.rng.randint(3, 60)))
        return (rows, 1, self.rng.choice((1, 1, 1, 3)))


@pytest.mark.parametrize("block", range(4))
def test_random_cases_against_the_oracle(block, backend, device):
    for seed in seeds(block):
        case = ElementCase(seed, device)
        zero = case.rng.random() < 0.7
        tensors, mask = case.tensors(), case.mask()
        signs = [[case.random_bits(len(layer.bits)) for layer in case.layers] for _ in range(2)]
        masks = [case.mask(bits) for bits in signs]
        with dsr_kernels.backend(backend):
            counts = prune_sign_flips_(tensors, mask, *masks, zero=zero)
        assert lists(counts) == list(oracle.prune_sign_flips(case.layers, *signs, zero)), seed
        assert bits_of(mask) == [layer.bits for layer in case.layers], seed
        assert [bits_of(one) for one in masks] == signs, seed
        assert same_values(tensors, case.layers), seed
        assert all(map(padding_is_zero, (mask, *masks))), seed
        assert case.canaries.intact(), seed


def prune(before, after, device, **options):
    """One layer whose weights go from ``before`` to ``after``: weights, bits, counts, signs."""
    mask = BitMask.ones(SparseLayout.of_elements([len(before)]), device)
    positive, negative = BitMask.zeros(mask.layout, device), BitMask.zeros(mask.layout, device)
    weight = torch.tensor(before, device=device)
    prune_sign_flips_([weight], mask, positive, negative)
    assert torch.equal(weight.nan_to_num(), torch.tensor(before, device=device).nan_to_num())
    weight.copy_(torch.tensor(after))
    counts = prune_sign_flips_([weight], mask, positive, negative, **options)
    signs = [bits_of(one)[0] for one in (positive, negative)]
    return weight.tolist(), bits_of(mask)[0], [int(count) for count in counts], signs


def test_a_flip_is_pruned_and_the_others_signs_are_noted(backend, device):
    with dsr_kernels.backend(backend):
        weight, bits, counts, signs = prune([1.0, -1.0, 2.0, -2.0], [1.0, -1.0, -2.0, 2.0], device)
    assert str(weight) == "[1.0, -1.0, 0.0, 0.0]"
    assert bits == [True, True, False, False]
    assert counts == [2, 2, 0]
    assert signs == [[True, False, False, False], [False, True, False, False]]


@pytest.mark.parametrize("none", [0.0, -0.0, NAN])
def test_a_number_without_sign_is_never_pruned_and_forgets_its_sign(none, backend, device):
    with dsr_kernels.backend(backend):
        _, bits, counts, signs = prune([1.0, -1.0, none, none], [none, none, 1.0, -1.0], device)
    assert bits == [True] * 4
    assert counts == [0, 4, 2 * (none != none)]
    assert signs == [[False, False, True, False], [False, False, False, True]]


def test_the_smallest_and_the_largest_numbers_have_signs(backend, device):
    with dsr_kernels.backend(backend):
        _, bits, counts, _ = prune([1e-45, -1e-45, INF, -INF], [-1e-45, 1e-45, -INF, INF], device)
    assert bits == [False] * 4  # and a layer may lose everything
    assert counts == [4, 0, 2]


def test_without_zero_only_the_masks_change(backend, device):
    with dsr_kernels.backend(backend):
        weight, bits, _, signs = prune([1.0, -1.0], [-3.0, -4.0], device, zero=False)
    assert weight == [-3.0, -4.0]
    assert bits == [False, True]
    assert signs == [[False, False], [False, True]]


def test_a_kernel_slice_is_refused(backend, device):
    layout = SparseLayout((dsr_kernels.LayerShape(4), dsr_kernels.LayerShape(2, 9)))
    masks = [BitMask.ones(layout, device) for _ in range(3)]
    weights = [torch.ones(4, device=device), torch.ones(18, device=device)]
    text = r"mask: expected units of single elements.*got units of 9 elements in layer 1"
    with dsr_kernels.backend(backend), pytest.raises(ValueError, match=text):
        prune_sign_flips_(weights, *masks)


def test_layers_of_several_dtypes_that_start_anywhere(backend, device):
    mask = BitMask.ones(SparseLayout.of_elements([300] * 3), device)
    positive, negative = mask.clone(), BitMask.zeros(mask.layout, device)
    values = torch.where(torch.arange(301) % 3 == 0, -0.5, 0.5)
    weights = [
        values.to(device, dtype)[1:] for dtype in (torch.float32, torch.bfloat16, torch.float16)
    ]
    with dsr_kernels.backend(backend):
        counts = prune_sign_flips_(weights, mask, positive, negative)
    assert lists(counts) == [[100] * 3, [200] * 3, [0] * 3]
    for weight in weights:
        assert torch.equal(weight.cpu().float(), values[1:].clamp(min=0))
    assert bits_of(mask) == bits_of(positive) == [(values[1:] > 0).tolist()] * 3
    assert not negative.words.any()
