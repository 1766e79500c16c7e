"""Churn and the explored fraction against masks followed by hand, and across a resume."""

import copy
import json

import pytest
import torch
from nets import OPTIMIZERS, mlp, train

import dsr
from dsr.experiments import RunConfig, run


def start(method):
    torch.manual_seed(0)
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparse = dsr.sparsify(model, method, total_steps=40, optimizer=optimizer)
    return model, sparse, optimizer


def flat(sparse):
    return torch.cat([mask.flatten() for mask in sparse.masks().values()])


@pytest.mark.parametrize(
    "method", [dsr.DSR(0.8, period=3), dsr.SET(0.8, period=3), dsr.RigL(0.8, period=3)]
)
def test_they_follow_the_masks(method):
    model, sparse, optimizer = start(method)
    ever = flat(sparse)
    last = sparse.stats()
    assert (last.churn, last.explored) == (0, int(ever.sum()) / len(ever))
    for _ in range(12):
        train(model, sparse, optimizer, 1)
        ever |= flat(sparse)
        stats = sparse.stats()
        assert stats.explored == int(ever.sum()) / len(ever)
        assert stats.churn == stats.pruned / sparse.budget
    assert stats.explored > last.explored
    assert 0 < stats.churn < 1


def test_a_fixed_mask_explores_nothing_more():
    model, sparse, optimizer = start(dsr.Static(0.8))
    train(model, sparse, optimizer, 3)
    stats = sparse.stats()
    assert stats.churn == 0
    assert stats.explored == stats.active / sum(layer.units for layer in stats.layers)


def test_pruning_alone_is_counted_against_what_was_there():
    model, sparse, optimizer = start(dsr.Compressed(0.8, begin=0, end=0.2, iterations=2))
    units = int(flat(sparse).sum())
    train(model, sparse, optimizer, 10)
    stats = sparse.stats()
    assert stats.explored == 1
    assert stats.churn == stats.pruned / (units - stats.total_pruned + stats.pruned)


def test_a_resume_goes_on_with_them():
    model, sparse, optimizer = start(dsr.SET(0.8, period=3))
    train(model, sparse, optimizer, 9)
    _, other, _ = start(dsr.SET(0.8, period=3))
    other.load_state_dict(copy.deepcopy(sparse.state_dict()))
    assert other.stats() == sparse.stats()
    train(model, sparse, optimizer, 3)
    assert sparse.stats().explored > other.stats().explored > 0.2


def test_active_units_are_among_those_explored():
    _, sparse, _ = start(dsr.SET(0.8, period=3))
    state = sparse.state_dict()
    next(iter(state["ever"].values())).zero_()
    with pytest.raises(ValueError, match="state: ever"):
        sparse.load_state_dict(state)


def test_a_run_writes_them(tmp_path):
    out = tmp_path / "run"
    summary = run(RunConfig(sparsity=0.9, epochs=2, options={"period": 5}), out)
    written = json.loads((out / "summary.json").read_text())
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert written["explored"] == summary.explored == rows[-1]["explored"] > 0.1
    assert written["churn"] == summary.churn == rows[-1]["churn"] > 0
    assert rows[0]["explored"] <= rows[1]["explored"]
