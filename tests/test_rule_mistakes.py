"""Rules of one's own that raise or answer wrongly: named, and nothing moves."""

from dataclasses import dataclass

import pytest
import torch
from nets import OPTIMIZERS, OldestHalf, assert_promises, mlp, train

import dsr
from dsr.methods import BySurvivors, RandomGrowth, SmallestFraction


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


@dataclass
class Divided(dsr.Redistribute):
    more: int

    def shares(self, reallocation):
        raise AssertionError

    def split(self, reallocation):
        counts = reallocation.pruned.clone()
        counts[0] += self.more
        return counts


@dataclass(frozen=True)
class Uneven(dsr.DynamicMethod):
    more: int = 0

    def rules(self, budget):
        return dsr.Rules(
            prune=SmallestFraction(0.5), grow=RandomGrowth(), redistribute=Divided(self.more)
        )


@pytest.mark.parametrize(("more", "text"), [(-3, "3 fewer"), (2, "2 more"), (0, None)])
def test_growth_that_is_not_what_was_pruned_is_refused_and_nothing_moves(more, text):
    model = mlp()
    sparse = dsr.sparsify(model, Uneven(0.8, period=2, stop=None, more=more))
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    sparse.attach(optimizer)
    train(model, sparse, optimizer, 1)
    masks = sparse.masks()
    if text is None:
        train(model, sparse, optimizer, 1, start=1)
    else:
        with pytest.raises(ValueError, match=f"rules: expected to grow as many .* got {text}"):
            train(model, sparse, optimizer, 1, start=1)
        for name, mask in sparse.masks().items():
            assert torch.equal(mask, masks[name])
    assert sparse.stats().reallocations == (text is None)
    assert_promises(model, sparse, sparse.budget)


@dataclass(frozen=True)
class NoRules(dsr.DynamicMethod):
    def rules(self, budget):
        return [SmallestFraction(0.5), RandomGrowth()]


def test_rules_that_are_none_are_refused_by_name():
    with pytest.raises(TypeError, match=r"NoRules\.rules: expected dsr\.Rules or None, got \["):
        dsr.sparsify(mlp(), NoRules(0.5, period=2, stop=None))


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


class Raising(dsr.Redistribute):
    def shares(self, reallocation):
        raise KeyError("planted")


@dataclass(frozen=True)
class Unsplit(dsr.DynamicMethod):
    def rules(self, budget):
        return dsr.Rules(prune=SmallestFraction(0.5), grow=RandomGrowth(), redistribute=Raising())


def test_a_redistribution_that_raises_loses_no_weight():
    model = mlp()
    sparse = dsr.sparsify(model, Unsplit(0.5, period=2, stop=None))
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    sparse.attach(optimizer)
    train(model, sparse, optimizer, 1)
    with pytest.raises(KeyError, match="planted"):
        train(model, sparse, optimizer, 1, start=1)
    assert_promises(model, sparse)
    for name, mask in sparse.masks().items():
        assert (dict(model.named_parameters())[name][mask] != 0).all()
