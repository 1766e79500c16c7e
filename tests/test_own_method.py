"""The protocol for methods of one's own: registered from outside the package, and it trains."""

from dataclasses import dataclass

import pytest
import torch
from nets import OPTIMIZERS, assert_promises, is_positive_zero, mlp, train

import dsr
from dsr.methods import METHODS, BySurvivors, RandomGrowth, SmallestFraction


class OldestHalf(dsr.Prune):
    """Prunes the first half of each layer's rows."""

    def select(self, param):
        rows = torch.zeros(param.shape, dtype=torch.bool)
        rows[: param.shape[0] // 2] = True
        return rows


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


@dataclass
class WrongPrune(dsr.Prune):
    answer: object

    def select(self, param):
        return self.answer


@dataclass
class WrongGrow(dsr.Grow):
    answer: object

    def score(self, param):
        return self.answer


@dataclass(frozen=True)
class Mistaken(dsr.DynamicMethod):
    prune: object = None
    grow: object = None

    def rules(self, budget):
        return dsr.Rules(
            prune=SmallestFraction(0.5) if self.prune is None else self.prune,
            grow=RandomGrowth() if self.grow is None else self.grow,
            redistribute=BySurvivors(),
        )


WRONG = [
    *({"prune": WrongPrune(x)} for x in (torch.zeros(3) > 0, "x", torch.zeros(40, 12))),
    *({"grow": WrongGrow(x)} for x in (torch.zeros(3), "x", torch.zeros(40, 12).int())),
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_rule_that_answers_wrongly_is_named_and_nothing_moves(wrong):
    who = "Prune.select" if "prune" in wrong else "Grow.score"
    model = mlp()
    method = Mistaken(0.5, period=2, stop=None, **wrong)
    sparse = dsr.sparsify(model, method, include="0")
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    sparse.attach(optimizer)
    train(model, sparse, optimizer, 1)
    masks = sparse.masks()
    with pytest.raises((ValueError, TypeError), match=rf"{who}\(0\.weight\)"):
        train(model, sparse, optimizer, 1, start=1)
    assert torch.equal(masks["0.weight"], sparse.masks()["0.weight"])
    assert (model[0].weight[masks["0.weight"]] != 0).all()
    assert sparse.stats().reallocations == 0
    assert_promises(model, sparse, sparse.budget)


class CountsTooEarly(dsr.Prune):
    def select(self, param):
        raise AssertionError

    def apply(self, reallocation):
        return reallocation.pruned


def test_counts_are_not_there_before_pruning():
    model = mlp()
    method = Mistaken(0.5, period=1, stop=None, prune=CountsTooEarly())
    sparse = dsr.sparsify(model, method)
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    sparse.attach(optimizer)
    with pytest.raises(RuntimeError, match="known after the prune rule only"):
        train(model, sparse, optimizer, 1)
    assert sparse.stats().reallocations == 0
    assert_promises(model, sparse, sparse.budget)


class Transposed(dsr.Grow):
    """Scores in another memory order than the weight's, largest in the last column."""

    def score(self, param):
        rows, columns = param.shape
        return torch.arange(columns, dtype=torch.float32).repeat(rows, 1).t().contiguous().t()


def test_rules_of_ones_own_prune_and_grow_in_the_weights_memory_order():
    model = mlp()
    method = Mistaken(0.9, period=1, stop=None, prune=OldestHalf(), grow=Transposed())
    sparse = dsr.sparsify(model, method, include="0")
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparse.attach(optimizer)
    before = sparse.masks()["0.weight"]
    train(model, sparse, optimizer, 1)
    after = sparse.masks()["0.weight"]
    assert not (after & before)[: len(before) // 2].any()
    grown = (after & ~before).nonzero()[:, 1]
    places = (~before).nonzero()[:, 1].sort(descending=True).values
    assert torch.equal(grown.sort(descending=True).values, places[: len(grown)])
    assert_promises(model, sparse, sparse.budget)


def test_a_rule_of_ones_own_prunes_with_random_growth():
    model = mlp()
    sparse = dsr.sparsify(model, Mistaken(0.8, period=1, stop=None, prune=OldestHalf()))
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparse.attach(optimizer)
    before = sparse.masks()
    train(model, sparse, optimizer, 1)
    for name, mask in sparse.masks().items():
        assert not (mask & before[name])[: len(mask) // 2].any()
    assert_promises(model, sparse, sparse.budget)


def test_registration_refuses_a_taken_name_and_a_stranger():
    with pytest.raises(ValueError, match="'dsr' is taken by DSR"):
        dsr.register_method("dsr")(Halves)
    with pytest.raises(TypeError, match="register_method"):
        dsr.register_method("int")(int)
