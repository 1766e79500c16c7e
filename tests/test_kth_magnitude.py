"""kth_magnitude on every backend: against the oracle, and what its rows must mean."""

from itertools import chain

import oracle
import pytest
import torch
from crowded_net import CrowdedNet
from op_cases import Case, lists, seeds
from wide_nets import NETS, WideNet, same

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, SparseLayout, kth_magnitude

OP = "kth_magnitude"
NAN, INF = float("nan"), float("inf")
ONE, TWO = 0x3F800000, 0x40000000


def search(values, k, device="cpu", bits=None, **options):
    """The row of one layer, its shortfall and its count of non-finite candidates."""
    layout = SparseLayout.of_elements([len(values)])
    active = torch.tensor(bits or [True] * len(values), dtype=torch.bool)
    mask = BitMask.from_bools(layout, [active]).to(device)
    tensor = torch.tensor(values, dtype=torch.float32, device=device)
    wanted = torch.tensor([k], device=device)
    select, shortfall, nonfinite = kth_magnitude([tensor], mask, wanted, **options)
    return select[0].tolist(), int(shortfall), int(nonfinite)


def chosen_by(select, case, active, largest, per_layer):
    """The units that the rows select, by their documented meaning."""
    keys = [layer.keys() for layer in case.layers]
    bits = [layer.bits for layer in case.layers]
    if not per_layer:
        keys, bits = [list(chain(*keys))], [list(chain(*bits))]
    chosen = []
    for (cut, tie), row_keys, row_bits in zip(select, keys, bits, strict=True):
        if largest:
            row_keys = [-1 if key == oracle.NAN_KEY else key for key in row_keys]
        beyond = [key > cut if largest else key < cut for key in row_keys]
        chosen.append(
            {
                u
                for u, bit in enumerate(row_bits)
                if bit == active and (beyond[u] or (row_keys[u] == cut and u < tie))
            }
        )
    return chosen


@pytest.mark.parametrize("block", range(4))
def test_random_cases_against_the_oracle(block, backend, device):
    for seed in seeds(block):
        case = Case(seed, device)
        active, largest, per_layer = (case.rng.random() < 0.5 for _ in range(3))
        k = case.counts(per_layer)
        with dsr_kernels.backend(backend):
            outputs = kth_magnitude(
                case.tensors(),
                case.mask(),
                case.int64(k),
                active=active,
                largest=largest,
                per_layer=per_layer,
            )
        *expected, chosen = oracle.kth_magnitude(case.layers, k, active, largest, per_layer)
        select, shortfall, nonfinite = lists(outputs)
        assert [select, shortfall, nonfinite] == expected, seed
        assert chosen_by(select, case, active, largest, per_layer) == chosen, seed
        assert case.canaries.intact(), seed


@pytest.mark.parametrize(
    ("values", "k", "options", "expected"),
    [
        ([1.0, 2.0, 1.0, 1.0], 2, {}, ([ONE, 3], 0, 0)),
        ([1.0, 2.0, -2.0, 1.0], 1, {"largest": True}, ([TWO, 2], 0, 0)),
        ([0.0, -0.0, 0.0], 2, {}, ([0, 2], 0, 0)),
        ([1.0, 2.0], 0, {}, ([0, 0], 0, 0)),
        ([1.0, 2.0], -5, {}, ([0, 0], 0, 0)),
        ([1.0, 2.0], 0, {"largest": True}, ([oracle.NAN_KEY, 0], 0, 0)),
        ([1.0, 2.0], 5, {}, ([TWO, 2], 3, 0)),
        ([1.0, NAN], 2, {}, ([oracle.NAN_KEY, 2], 0, 1)),
        ([NAN, 1.0], 2, {"largest": True}, ([-1, 1], 0, 1)),
        ([INF, 1.0, -INF], 1, {"largest": True}, ([oracle.INF_KEY, 1], 0, 2)),
        ([1e-45, 0.0], 2, {}, ([1, 1], 0, 0)),
    ],
)
def test_rows_by_hand(values, k, options, expected, backend, device):
    with dsr_kernels.backend(backend):
        assert search(values, k, device, **options) == expected


def test_without_candidates_nothing_is_selected(backend, device):
    with dsr_kernels.backend(backend):
        assert search([1.0, NAN], 1, device, active=False) == ([0, 0], 1, 0)
        assert search([], 2, device) == ([0, 0], 2, 0)


def test_over_all_layers_the_index_counts_all_units(backend, device):
    layout = SparseLayout.of_elements([3, 2, 40])
    tensors = [torch.full((size,), 1.0, device=device) for size in (3, 2, 40)]
    mask = BitMask.ones(layout, device)
    with dsr_kernels.backend(backend):
        select, shortfall, _ = kth_magnitude(
            tensors, mask, torch.tensor([7], device=device), per_layer=False
        )
    assert select.tolist() == [[ONE, 7]]
    assert shortfall.tolist() == [0]


def test_a_groups_magnitude_is_the_mean(backend, device):
    layout = SparseLayout((LayerShape(2, 4, 1),))
    tensor = torch.tensor([1.0, -1.0, 1.0, 1.0, 4.0, 0.0, 0.0, 4.0], device=device)
    with dsr_kernels.backend(backend):
        select, _, _ = kth_magnitude(
            [tensor], BitMask.ones(layout, device), torch.tensor([2], device=device)
        )
    assert select.tolist() == [[TWO, 2]]


def test_the_order_of_a_groups_sum_is_part_of_its_key(backend, device):
    """Elements 32 apart are added first: alone, each of the small ones would be rounded away."""
    values = [1.0, 2.0**-24, *[0.0] * 31, 2.0**-24, *[0.0] * 30]
    layout = SparseLayout((LayerShape(1, 64),))
    layer = oracle.Layer((1, 64, 1), values, [True])
    tensor = torch.tensor(values, device=device)
    with dsr_kernels.backend(backend):
        select, _, _ = kth_magnitude(
            [tensor], BitMask.ones(layout, device), torch.tensor([1], device=device)
        )
    assert select.tolist() == [[layer.key(0), 1]]
    assert layer.key(0) == oracle.float_key((1 + 2.0**-23) / 64)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_values_are_upcast(dtype, backend, device):
    layout = SparseLayout.of_elements([3])
    tensor = torch.tensor([2.0, 1.0, 3.0], dtype=dtype, device=device)
    with dsr_kernels.backend(backend):
        select, _, _ = kth_magnitude(
            [tensor], BitMask.ones(layout, device), torch.tensor([2], device=device)
        )
    assert select.tolist() == [[TWO, 1]]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("per_layer", "largest"), [(True, True), (False, False), (False, True)])
def test_wide_nets_as_the_reference(name, per_layer, largest, backend, device):
    net = WideNet(name, device)
    mask, k = net.mask(sparsity=0.6), net.counts(0.2, per_layer)
    options = {"active": not largest, "largest": largest, "per_layer": per_layer}
    results = []
    for run in (backend, "reference"):
        with dsr_kernels.backend(run):
            results.append(kth_magnitude(net.tensors(), mask, k, **options))
    assert same(*results)


@pytest.mark.parametrize(("per_layer", "largest"), [(True, False), (True, True), (False, False)])
def test_crowded_digits_as_the_reference(per_layer, largest, backend, device):
    net = CrowdedNet(device)
    mask = net.mask(active=not largest)
    options = {"active": not largest, "largest": largest, "per_layer": per_layer}
    for k in net.counts(largest, per_layer):
        results = []
        for run in (backend, "reference"):
            with dsr_kernels.backend(run):
                results.append(kth_magnitude(net.tensors(), mask, k, **options))
        assert same(*results), k


def test_a_crowd_of_nans_as_the_reference(backend, device):
    """NaNs share a digit, come last, and are all equal."""
    net = CrowdedNet(device, kinds=("all digits", "bfloat16"))
    mask = net.mask()
    tensors = net.tensors()
    for tensor in tensors:
        tensor[tensor.abs() < 1.0625] = NAN
    k = torch.tensor([int(count) - 9 for count in mask.counts()], device=device)
    results = []
    for run in (backend, "reference"):
        with dsr_kernels.backend(run):
            results.append(kth_magnitude(tensors, mask, k))
    assert same(*results)
    assert (results[0][0][:, 0] == oracle.NAN_KEY).all()
