"""Kernel granularity: a unit of a convolution is a kernel slice, of a Linear layer a weight."""

import pickle

import pytest
import torch
from nets import OPTIMIZERS, assert_same, batch, convnet, is_positive_zero, train
from torch import nn

import dsr
from dsr.distributions import initial_counts

METHODS = {
    "dsr": dsr.DSR(0.6, prune_count=9, period=2, initial_threshold=0.03, granularity="kernel"),
    "set": dsr.SET(0.6, prune_fraction=0.2, period=2, granularity="kernel"),
    "static": dsr.Static(0.6, granularity="kernel"),
}
FORMATS = (torch.contiguous_format, torch.channels_last)
UNITS = {"3.weight": 16 * 8, "7.weight": 4 * 64}


def start(method, memory_format=torch.contiguous_format, optimizer="momentum", **arguments):
    model = convnet().to(memory_format=memory_format)
    made = OPTIMIZERS[optimizer](model.parameters())
    arguments = {"total_steps": 40, "seed": 3, "optimizer": made} | arguments
    return model, dsr.sparsify(model, method, **arguments), made


def slices(sparse):
    """The convolution's mask by slice, each either whole or empty."""
    rows = sparse.masks()["3.weight"].reshape(16, 8, 9)
    assert torch.equal(rows.any(2), rows.all(2))
    return rows[:, :, 0]


def active_units(sparse):
    return [int(slices(sparse).sum()), int(sparse.masks()["7.weight"].sum())]


def assert_promises(model, sparse, budget):
    counts = active_units(sparse)
    assert sum(counts) == sparse.budget == sparse.stats().active == budget
    assert [layer.active for layer in sparse.stats().layers] == counts
    parameters = dict(model.named_parameters())
    for name, mask in sparse.masks().items():
        assert is_positive_zero(parameters[name].detach()[~mask])


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("name", METHODS)
def test_the_budget_is_of_units_and_slices_move_whole(name, memory_format):
    model, sparse, optimizer = start(METHODS[name], memory_format)
    budget, first = sparse.budget, slices(sparse)
    assert active_units(sparse) == [n - 6 * n // 10 for n in UNITS.values()]
    train(model, sparse, optimizer, 13, each=lambda _: assert_promises(model, sparse, budget))
    assert torch.equal(slices(sparse), first) == (name == "static")
    mask = sparse.masks()["3.weight"]
    momentum = optimizer.state[model[3].weight]["momentum_buffer"]
    assert is_positive_zero(momentum[~mask])
    assert (model[3].weight.detach()[mask] != 0).float().mean() > 0.5


@pytest.mark.parametrize("name", METHODS)
def test_memory_formats_draw_the_same_masks(name):
    runs = [start(METHODS[name], memory_format) for memory_format in FORMATS]
    assert torch.equal(slices(runs[0][1]), slices(runs[1][1]))
    for model, sparse, optimizer in runs:
        train(model, sparse, optimizer, 4)
    counts = [active_units(sparse) for _, sparse, _ in runs]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("memory_format", FORMATS)
def test_a_resumed_run_is_the_same_bit_for_bit(memory_format):
    whole, resumed = (start(METHODS["dsr"], memory_format) for _ in range(2))
    train(*whole, 7)
    states = pickle.loads(pickle.dumps([part.state_dict() for part in whole]))
    for part, state in zip(resumed, states, strict=True):
        part.load_state_dict(state)
    for run in (whole, resumed):
        train(*run, 7, start=7)
    for one, other in zip(whole, resumed, strict=True):
        assert_same(one.state_dict(), other.state_dict())


def test_masks_travel_between_memory_formats_and_not_between_granularities():
    _, contiguous, _ = start(METHODS["static"])
    _, channels_last, _ = start(METHODS["static"], torch.channels_last)
    channels_last.load_state_dict(contiguous.state_dict())
    assert torch.equal(slices(contiguous), slices(channels_last))
    _, elements, _ = start(dsr.Static(0.6))
    with pytest.raises(ValueError, match=r"state: options\.granularity is"):
        elements.load_state_dict(contiguous.state_dict())


def test_stats_count_units_and_the_table_weights():
    _, sparse, _ = start(METHODS["static"])
    assert {layer.name: layer.units for layer in sparse.stats().layers} == UNITS
    assert [layer.active for layer in sparse.stats().layers] == [52, 103]
    row = next(line for line in str(sparse).splitlines() if line.startswith("3.weight"))
    assert row.split()[2:] == [f"{52 * 9}", "1,152", f"{1 - 52 / 128:.4f}"]
    assert f"{52 * 9 + 103:,} of {1152 + 256:,} weights active" in str(sparse)


def test_the_threshold_is_for_mean_magnitudes():
    method = dsr.DSR(0.5, period=1, stop=None, initial_threshold=0.06, granularity="kernel")
    model = convnet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    sparse = dsr.sparsify(model, method, optimizer=optimizer, exclude="7")
    before = sparse.masks()["3.weight"].reshape(16, 8, 9)[:, :, 0]
    means = model[3].weight.detach().abs().mean((2, 3))
    train(model, sparse, optimizer, 1)
    after = sparse.masks()["3.weight"].reshape(16, 8, 9)[:, :, 0]
    assert torch.equal(before & ~after, before & (means < 0.06))
    assert (before & ~after).any()


def test_exact_counts_are_of_kernels():
    method = dsr.DSR(0.5, prune_count=5, period=1, stop=None, exact=True, granularity="kernel")
    model, sparse, optimizer = start(method, total_steps=None, exclude="7")
    train(model, sparse, optimizer, 3, each=lambda _: sparse.stats().pruned == 5)
    assert sparse.stats().total_pruned == sparse.stats().total_grown == 15


@pytest.mark.parametrize("distribution", ["erdos-renyi", "erdos-renyi-kernel"])
def test_initial_allocations_split_units(distribution):
    _, sparse, _ = start(METHODS["static"], distribution=distribution)
    layers = sparse._storage.layout.layers
    counts = initial_counts(distribution, [(16, 8, 3, 3), (4, 64)], layers, 0.6)
    assert active_units(sparse) == counts
    assert sum(counts) == sum(UNITS.values()) - 6 * sum(UNITS.values()) // 10
    sides = (16 + 8 + 3 + 3) / 9 if distribution == "erdos-renyi-kernel" else 16 + 8
    assert counts[0] == pytest.approx(sum(counts) * sides / (sides + 68), abs=1)


@pytest.mark.parametrize(
    ("convolution", "units"),
    [
        (nn.Conv2d(6, 4, 1), 24),
        (nn.Conv1d(6, 4, 5), 24),
        (nn.Conv3d(2, 3, (1, 2, 3)), 6),
        (nn.ConvTranspose2d(3, 5, 2), 15),
        (nn.Conv2d(4, 4, 3, groups=2), 8),
    ],
)
def test_every_convolution_has_a_unit_a_slice(convolution, units):
    model = nn.Sequential(convolution)
    sparse = dsr.sparsify(model, METHODS["static"], include="0")
    assert [layer.units for layer in sparse.stats().layers] == [units]
    mask = sparse.masks()["0.weight"].flatten(2)
    assert torch.equal(mask.any(2), mask.all(2))
    assert int(mask[:, :, 0].sum()) == units - 6 * units // 10


def test_refused_by_name_with_nothing_changed():
    def masks(model):
        return {
            name: torch.ones_like(dict(model.named_parameters())[name]).bool() for name in UNITS
        }

    def split(model):
        given = masks(model)
        given["3.weight"][2, 3, 0, 1] = False
        return dsr.sparsify(model, METHODS["static"], masks=given)

    def transposed(model):
        weight = model[3].weight
        weight.data = weight.data.transpose(2, 3).contiguous().transpose(2, 3)
        return dsr.sparsify(model, METHODS["static"])

    for call, text in (
        (split, r"masks\['3\.weight'\]: .*units? of 9 weights.*got 1 of 128 units that are split"),
        (transposed, r"3\.weight: granularity 'kernel' expected a contiguous or channels_last"),
        (lambda m: dsr.DSR(granularity="row"), "granularity: expected one of element, kernel"),
        (lambda m: dsr.SET(granularity=None), "granularity: expected one of element, kernel"),
        (lambda m: dsr.Static(granularity="k"), "granularity: expected one of element, kernel"),
    ):
        model, before = convnet(), convnet()
        with pytest.raises(ValueError, match=text):
            call(model)
        assert_same(dict(model.state_dict()), dict(before.state_dict()))
    model = convnet()
    sparse = dsr.sparsify(model, METHODS["static"], masks=masks(model))
    assert sparse.budget == sum(UNITS.values())


def test_a_state_that_splits_a_slice_is_refused():
    model, sparse, optimizer = start(METHODS["dsr"])
    x, y = batch(model, 0)
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
    state, before = sparse.state_dict(), sparse.masks()
    state["masks"]["3.weight"][0] ^= 1
    state["ever"]["3.weight"][0] |= 1
    with pytest.raises(ValueError, match=r"masks\['3\.weight'\]: .*1 of 128 units that are split"):
        sparse.load_state_dict(state)
    assert_same(sparse.masks(), before)
