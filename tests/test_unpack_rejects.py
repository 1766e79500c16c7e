"""Ranks and a mask that do not belong together: refused by name, and nothing else is read."""

import pytest
import torch

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, SparseLayout, pack, packed_linear, unpack

OP = "unpack"
UNITS = 3000
MESSAGE = "ranks: expected how many units of the mask"


def packed(unit_size=1):
    layout = SparseLayout((LayerShape(UNITS, unit_size),))
    generator = torch.Generator().manual_seed(0)
    bits = torch.rand(UNITS, generator=generator) < 0.4
    mask = BitMask.from_bools(layout, [bits])
    return mask, *pack(torch.arange(1.0, UNITS * unit_size + 1), mask)


def other_ranks(ranks):
    """Every rank changed, by little and by much."""
    for place in range(len(ranks)):
        for value in (10**9, -1, 2**63 - 1, -(2**63), int(ranks[place]) + 1):
            changed = ranks.clone()
            changed[place] = value
            yield changed


def moved(mask, unit=5, to=1500):
    """The same count, in other blocks; the last block is unchanged."""
    bits = mask.to_bools()[0]
    active, inactive = bits[:1024].nonzero()[unit], (~bits[1024:2048]).nonzero()[unit] + 1024
    bits[active], bits[inactive] = False, True
    return BitMask.from_bools(mask.layout, [bits])


def refused(backend, call, values):
    """CPU kernels and the definition raise; a GPU's, which nothing waits for, keep within."""
    with dsr_kernels.backend(backend):
        if backend == "triton":
            result = call().cpu()
            assert (torch.isin(result, values) | (result == 0)).all()
            return
        with pytest.raises(ValueError, match=MESSAGE):
            call()


@pytest.mark.parametrize("unit_size", [1, 3])
def test_wrong_ranks(backend, device, unit_size):
    mask, values, ranks = packed(unit_size)
    on_device = mask.to(device)
    for changed in other_ranks(ranks):
        arguments = (values.to(device), changed.to(device), on_device)
        refused(backend, lambda given=arguments: unpack(*given), values)


def test_a_mask_that_changed_after_pack(backend, device):
    mask, values, ranks = packed()
    other = moved(mask).to(device)
    refused(backend, lambda: unpack(values.to(device), ranks.to(device), other), values)


def test_no_units():
    mask = BitMask.from_bools(SparseLayout((LayerShape(0),)), [torch.empty(0, dtype=torch.bool)])
    for name in ("cpu", "reference"):
        with dsr_kernels.backend(name), pytest.raises(ValueError, match=MESSAGE):
            unpack(torch.empty(0), torch.ones(1, dtype=torch.int64), mask)


@pytest.mark.parametrize("name", ["library", "reference"])
def test_packed_linear_refuses_them_too(name):
    mask, values, ranks = packed()
    x = torch.ones(2, 30)
    with dsr_kernels.backend(name):
        for changed in other_ranks(ranks):
            with pytest.raises(ValueError, match=MESSAGE):
                packed_linear(x, values, changed, mask, outs=100)
        with pytest.raises(ValueError, match=MESSAGE):
            packed_linear(x, values, ranks, moved(mask), outs=100)


@pytest.mark.parametrize("name", ["cpu", "reference"])
def test_pack_refuses_a_count_that_is_none(name):
    mask, values, _ = packed()
    tensor = torch.zeros(UNITS)
    for active, error, message in (
        (-1, ValueError, r"active: expected a count in \[0, 3000\], got -1"),
        (10**18, ValueError, r"active: expected a count in \[0, 3000\]"),
        (3.0, TypeError, "active: expected an int or None, got float"),
        (True, TypeError, "active: expected an int or None, got bool"),
        (len(values) + 1, ValueError, f"active: expected {len(values)}, as in the mask, got"),
        (len(values) - 1, ValueError, f"active: expected {len(values)}, as in the mask, got"),
    ):
        with dsr_kernels.backend(name), pytest.raises(error, match=message):
            pack(tensor, mask, active=active)


@pytest.mark.parametrize("name", ["cpu", "reference"])
@pytest.mark.parametrize("change", [lambda v: v[:-1], lambda v: torch.cat([v, v[:2]])])
def test_another_number_of_values_is_refused(name, change):
    mask, values, ranks = packed()
    with (
        dsr_kernels.backend(name),
        pytest.raises(ValueError, match=r"values: expected .* for the active units"),
    ):
        unpack(change(values).clone(), ranks, mask)
