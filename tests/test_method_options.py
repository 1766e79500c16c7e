"""Options of the methods, each against plain PyTorch on the same weights."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nets import OPTIMIZERS, assert_promises, batch, is_positive_zero, mlp, train
from torch import nn

import dsr
from dsr.experiments import RunConfig
from dsr.experiments.options import parse_option
from dsr.methods.sparse_momentum import EqualExcess


def _start(method, optimizer="momentum", **arguments):
    model = mlp()
    sparse = dsr.sparsify(model, method, **arguments)
    made = OPTIMIZERS[optimizer](model.parameters())
    sparse.attach(made)
    return model, sparse, made


def _named(model, sparse):
    parameters = dict(model.named_parameters())
    return {name: parameters[name] for name in sparse.masks()}


def _smallest(weights, places, count):
    """Flat indices of the ``count`` smallest magnitudes among ``places``, lowest index first."""
    index = places.flatten().nonzero().flatten()
    order = torch.sort(weights.flatten()[index].abs(), stable=True).indices
    return set(index[order[:count]].tolist())


def test_set_two_sided_prunes_the_nearest_to_0_of_each_sign():
    method = dsr.SET(0.5, period=1, stop=None, prune_fraction=0.3, two_sided=True)
    model = mlp()
    sparse = dsr.sparsify(model, method)
    before = sparse.masks()
    with torch.no_grad():
        for name, weight in _named(model, sparse).items():
            weight[:2] = -weight[:2].abs() / 100  # by magnitude only these would go
            weight[3] = 0.0
            assert (before[name][3]).any()
    old = {name: weight.detach().clone() for name, weight in _named(model, sparse).items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    sparse.attach(optimizer)
    train(model, sparse, optimizer, 1)
    for name, mask in sparse.masks().items():
        expected, negative = set(), old[name] < 0
        for side in (before[name] & negative, before[name] & ~negative):
            expected |= _smallest(old[name], side, -(-3 * int(side.sum()) // 10))
        gone = set((before[name] & ~mask).flatten().nonzero().flatten().tolist())
        assert gone == expected
        assert any(old[name].flatten()[i] == 0 for i in gone)
    assert_promises(model, sparse, sparse.budget)


def test_set_two_sided_never_prunes_a_nan():
    method = dsr.SET(0.5, period=1, stop=None, prune_fraction=0.9, two_sided=True)
    model, sparse, optimizer = _start(method, "sgd")
    place = tuple(sparse.masks()["2.weight"].nonzero()[0])
    x, y = batch(model, 0)
    nn.functional.cross_entropy(model(x), y).backward()
    with torch.no_grad():
        model[2].weight[place] = torch.nan
    with pytest.raises(dsr.NonFiniteError, match=r"2\.weight: 1\b"):
        optimizer.step()
    assert sparse.masks()["2.weight"][place]
    assert_promises(model, sparse, sparse.budget)


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("options", [{}, {"redistribution": "none"}, {"growth": "random"}], ids=str)
def test_sparse_momentum_takes_a_layer_that_no_loss_has_reached(optimizer, options):
    model = mlp()
    model.pooler = nn.Linear(8, 8)  # held by the model and the optimizer, used in no forward pass
    used = nn.Sequential(*list(model)[:-1])
    method = dsr.SparseMomentum(0.5, period=2, **options)
    sparse = dsr.sparsify(model, method, total_steps=20)
    made = OPTIMIZERS[optimizer](model.parameters())
    sparse.attach(made)
    before = sparse.masks()
    for step in range(8):
        x, y = batch(model, step)
        made.zero_grad()
        nn.functional.cross_entropy(used(x), y).backward()
        made.step()
        assert_promises(model, sparse, sparse.budget)
    assert sparse.stats().reallocations == 4
    assert not torch.equal(sparse.masks()["0.weight"], before["0.weight"])


@pytest.mark.parametrize("cleared", [False, True])
def test_sparse_momentum_clears_the_momentum_of_grown_weights_if_asked(cleared):
    method = dsr.SparseMomentum(0.8, period=3, decay="constant", clear_grown=cleared)
    model, sparse, optimizer = _start(method, total_steps=50)
    train(model, sparse, optimizer, 2)
    before = sparse.masks()
    train(model, sparse, optimizer, 1, start=2)
    for name, weight in _named(model, sparse).items():
        mask, buffer = sparse.masks()[name], optimizer.state[weight]["momentum_buffer"]
        assert is_positive_zero(buffer[mask & ~before[name]]) is cleared
        assert (buffer[mask & before[name]] != 0).any()
        assert (buffer[~mask] != 0).any()
        assert (buffer[before[name] & ~mask] != 0).any()  # pruned: lives on


@pytest.mark.parametrize(
    ("pruned", "shares", "free", "growth"),
    [
        # 54, 3, 2 and 1 by shares; 40 do not fit: 14, 13 and 13, of which 11 do not: 6 and 5.
        ([10, 20, 0, 30], [90, 5, 3, 2], [14, 50, 4, 100], [14, 23, 4, 19]),
        # 80, 10 and 10; the 70 that do not fit go to layers of very unequal room and share alike.
        ([100, 0, 0], [8, 1, 1], [10, 1000, 50], [10, 45, 45]),
        # All fits: by shares alone.
        ([0, 12, 0], [1, 2, 3], [50, 50, 50], [2, 4, 6]),
        # No room but in the last layer.
        ([7, 5, 0], [9, 3, 0], [0, 2, 40], [0, 2, 10]),
    ],
)
def test_what_exceeds_a_layer_is_split_equally(pruned, shares, free, growth):
    values = {"pruned": pruned, "active": shares, "free": free}
    reallocation = SimpleNamespace(**{name: torch.tensor(v) for name, v in values.items()})
    assert EqualExcess("nonzeros").split(reallocation).tolist() == growth


def test_deepr_grows_at_a_tiny_weight_of_random_sign_if_asked():
    fields = {"temperatures": (1.0,), "temperature_starts": (0,), "stop": None}
    model, sparse, optimizer = _start(dsr.DeepR(0.5, random_signs=True, **fields), "sgd")
    signs = []
    for step in range(4):
        before = sparse.masks()
        old = {name: weight.detach().clone() for name, weight in _named(model, sparse).items()}
        train(model, sparse, optimizer, 1, start=step)
        for name, weight in _named(model, sparse).items():
            mask, new = sparse.masks()[name], weight.detach()
            grown = mask & ~before[name]
            assert (new[grown].abs() < 1e-11).all()
            assert (new[grown] != 0).all()
            signs += new[grown].sign().tolist()
            assert not ((new * old[name]) < 0).any()  # also of what had grown one step earlier
    assert len(signs) > 50
    assert abs(sum(signs)) < 4 * len(signs) ** 0.5
    assert_promises(model, sparse, sparse.budget)


REFUSED = [
    (lambda: dsr.SET(two_sided=1), TypeError, "two_sided: expected True or False, got 1"),
    (lambda: dsr.SET(two_sided=True, granularity="kernel"), ValueError, "two_sided: needs"),
    (lambda: dsr.SparseMomentum(clear_grown="no"), TypeError, "clear_grown: .*'no'"),
    (lambda: dsr.DeepR(random_signs=None), TypeError, "random_signs: .*None"),
    (lambda: dsr.DSR(np.bool_(True)), TypeError, "sparsity: expected a number"),
    (lambda: dsr.DSR(np.float32(1)), ValueError, r"sparsity: .*in \[0, 1\), got 1"),
    (lambda: dsr.DSR(period=np.float32(3)), TypeError, "period: expected an int"),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSED, ids=[case[2] for case in REFUSED])
def test_refused_by_name(call, error, text):
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("number", [np.float32(0.9), np.float64(0.9), Fraction(9, 10), 0.9])
def test_a_sparsity_is_the_decimal_that_it_prints_as(number):
    method = dsr.DSR(number, period=np.int64(3))
    assert (type(method.sparsity), method.sparsity) == (float, 0.9)
    assert (type(method.period), method.period) == (int, 3)
    assert dsr.sparsify(nn.Linear(100, 10), dsr.Static(number)).budget == 100


def test_numbers_of_a_hyper_parameter_are_separated_by_commas():
    assert parse_option(dsr.DeepR, "temperatures=1e-5,0") == ("temperatures", (1e-5, 0.0))
    config = RunConfig(
        method="deepr", options={"temperatures": [1, 2], "temperature_starts": [0, 0.5]}
    )
    assert config.build_method().temperatures == (1, 2)
    assert RunConfig.from_dict(config.to_dict()) == config


def test_the_l1_coefficient_is_the_methods_own_where_it_has_one():
    found = {name: RunConfig(method=name).l1 for name in ("deepr", "dsr", "dense", "static")}
    assert found == {"deepr": 1e-5, "dsr": 1e-4, "dense": 1e-4, "static": 1e-4}
    assert RunConfig(method="deepr", l1=1e-4).l1 == 1e-4


class Plain(torch.optim.SGD):
    """An optimizer of one's own, of which only its state tells whether it has momentum."""


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.RMSprop, torch.optim.Adagrad])
def test_sparse_momentum_refuses_an_optimizer_without_momentum(kind):
    model = mlp()
    sparse = dsr.sparsify(model, dsr.SparseMomentum(0.8, period=2, decay="constant", stop=None))
    optimizer = kind(model.parameters(), lr=0.1)
    sparse.attach(optimizer)
    with pytest.raises(ValueError, match=rf"optimizer: sparse momentum .*, got {kind.__name__}"):
        train(model, sparse, optimizer, 1)
    assert sparse.step == 0
    other = dsr.SparseMomentum(
        0.8, period=2, decay="constant", stop=None, growth="random", redistribution="magnitude"
    )
    model = mlp()
    optimizer = kind(model.parameters(), lr=0.1)
    sparse = dsr.sparsify(model, other, optimizer=optimizer)
    train(model, sparse, optimizer, 4)
    assert sparse.stats().reallocations == 2


def test_sparse_momentum_wants_momentum_of_sparse_parameters_at_the_first_step():
    model = mlp()
    sparse = dsr.sparsify(model, dsr.SparseMomentum(0.8, period=2, decay="constant", stop=None))
    weights = [p for p in model.parameters() if p.dim() > 1]
    biases = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.SGD([{"params": weights}, {"params": biases}], lr=0.1)
    sparse.attach(optimizer)
    optimizer.param_groups[0]["momentum"] = 0.9  # as a schedule sets it
    train(model, sparse, optimizer, 2)
    assert sparse.stats().reallocations == 1


def test_sparse_momentum_needs_momentum_of_any_optimizer():
    model = mlp()
    method = dsr.SparseMomentum(0.8, period=2, decay="constant", stop=None)
    optimizer = Plain(model.parameters(), lr=0.1)
    sparse = dsr.sparsify(model, method, optimizer=optimizer)
    with pytest.raises(RuntimeError, match=r"0\.weight: sparse momentum needs an optimizer"):
        train(model, sparse, optimizer, 2)
    assert_promises(model, sparse)
    assert sparse.stats().reallocations == 0
