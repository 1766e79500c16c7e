"""The protocol for methods of one's own: registered from outside the package, and it trains."""

from dataclasses import dataclass

import pytest
import torch
from nets import OPTIMIZERS, OldestHalf, assert_promises, is_positive_zero, mlp, train

import dsr
from dsr.methods import METHODS, BySurvivors, SmallestFraction


class ByMomentum(dsr.Grow):
    def score(self, param):
        return param.state.get("momentum_buffer", param.weight)


class Evenly(dsr.Redistribute):
    def shares(self, reallocation):
        return torch.ones_like(reallocation.surviving)


@dataclass(frozen=True)
class Halves(dsr.DynamicMethod):
    """Rows against momentum."""

    def rules(self, budget):
        return dsr.Rules(
            prune=OldestHalf(),
            grow=ByMomentum(),
            redistribute=Evenly(),
            dense_gradient="always",
            dense_state=True,
        )


@pytest.fixture
def registered():
    yield dsr.register_method("halves")(Halves)
    METHODS.pop("halves")


def test_a_method_from_outside_trains_and_keeps_its_promises(registered):
    assert METHODS["halves"] is registered
    model = mlp()
    sparse = dsr.sparsify(model, registered(0.8, period=3), total_steps=50)
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparse.attach(optimizer)
    budget = sparse.budget
    train(model, sparse, optimizer, 2)
    moment = optimizer.state[model[0].weight]["momentum_buffer"].clone()
    assert (moment[~sparse.masks()["0.weight"]] != 0).any()  # dense, as it asked
    before = sparse.masks()
    train(model, sparse, optimizer, 1, start=2)
    after = sparse.masks()
    for name in before:
        half = before[name].shape[0] // 2
        kept = before[name][half:]
        assert torch.equal(after[name][half:] & kept, kept)
    train(model, sparse, optimizer, 9, 3, each=lambda _: assert_promises(model, sparse, budget))
    assert sparse.stats().reallocations == 4


def test_nan_that_a_rule_writes_is_found_in_its_step():
    class Writing(dsr.Grow):
        def score(self, param):
            with torch.no_grad():
                param.weight[param.mask.nonzero().unbind(1)] = torch.nan
            return torch.rand(param.shape)

    @dataclass(frozen=True)
    class Method(dsr.DynamicMethod):
        def rules(self, budget):
            return dsr.Rules(prune=SmallestFraction(0.5), grow=Writing())

    model = mlp()
    sparse = dsr.sparsify(model, Method(0.9, period=2, stop=None))
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    sparse.attach(optimizer)
    train(model, sparse, optimizer, 1)
    with pytest.raises(dsr.NonFiniteError, match=r"0\.weight: "):
        train(model, sparse, optimizer, 1, start=1)
    assert sparse.step == 2


def test_growth_takes_the_largest_scores():
    class Fixed(dsr.Grow):
        def score(self, param):
            return torch.arange(param.weight.numel(), dtype=torch.float32).view(param.shape)

    @dataclass(frozen=True)
    class Method(dsr.DynamicMethod):
        def rules(self, budget):
            return dsr.Rules(prune=SmallestFraction(0.5), grow=Fixed())

    model = mlp()
    sparse = dsr.sparsify(model, Method(0.9, period=1, stop=None))
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    sparse.attach(optimizer)
    before = sparse.masks()
    train(model, sparse, optimizer, 1)
    for name, mask in sparse.masks().items():
        free = (~before[name]).flatten().nonzero().flatten()
        grown = (mask & ~before[name]).flatten().nonzero().flatten()
        assert torch.equal(grown, free[-len(grown) :])


@dataclass(frozen=True)
class Regrowing(dsr.DynamicMethod):
    """Half of each layer goes, and only what went may return."""

    def rules(self, budget):
        class Same(dsr.Grow):
            def score(self, param):
                return param.weight  # only what was just pruned is not 0

        return dsr.Rules(
            prune=SmallestFraction(0.5),
            redistribute=BySurvivors(),
            grow=Same(),
            regrow_pruned=True,
            dense_gradient="due",
        )


def test_a_unit_regrown_at_once_keeps_its_value_and_state():
    model = mlp()
    sparse = dsr.sparsify(model, Regrowing(0.5, period=4, stop=None), include=["0", "2"])
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparse.attach(optimizer)
    train(model, sparse, optimizer, 3)
    for name, mask in sparse.masks().items():  # gradients dense only in the step that needs them
        assert is_positive_zero(dict(model.named_parameters())[name].grad[~mask])
    before = {name: (m, dict(model.named_parameters())[name]) for name, m in sparse.masks().items()}
    train(model, sparse, optimizer, 1, start=3)
    assert_promises(model, sparse, sparse.budget)
    for name, (mask, parameter) in before.items():
        after = sparse.masks()[name]
        assert (parameter.detach()[mask & after] != 0).all()
        moment = optimizer.state[parameter]["momentum_buffer"]
        assert is_positive_zero(moment[~after])
        assert (moment[mask & after] != 0).any()


def test_registration_refuses_a_taken_name_and_a_stranger():
    with pytest.raises(ValueError, match="'dsr' is taken by DSR"):
        dsr.register_method("dsr")(Halves)
    with pytest.raises(TypeError, match="register_method"):
        dsr.register_method("int")(int)
