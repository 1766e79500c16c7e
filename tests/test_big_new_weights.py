"""big_new_weights: what grows starts at random normal values of a dense layer's size."""

import math

import pytest
import torch
from nets import assert_same, convnet
from torch import nn

import dsr


def still(method, model, **arguments):
    """A run whose steps change no weight: only reallocation does."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)
    sparse = dsr.sparsify(model, method, optimizer=optimizer, **arguments)

    def step():
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()

    return sparse, optimizer, step


def big(**fields):
    return dsr.DSR(0.5, period=1, stop=None, big_new_weights=True, **fields)


@pytest.mark.parametrize("granularity", ["element", "kernel"])
def test_grown_weights_are_normal_and_the_others_stay(granularity):
    model = nn.Sequential(nn.Conv2d(40, 50, 3), nn.Linear(400, 30))
    sparse, optimizer, step = still(
        big(exact=True, prune_count=1000, granularity=granularity), model, include="*"
    )
    deviations = {"0.weight": math.sqrt(2 / (50 * 9)), "1.weight": 1 / math.sqrt(400)}
    old, before = [p.detach().clone() for p in model.parameters()], sparse.masks()
    old = {"0.weight": old[0], "1.weight": old[2]}
    step()
    drawn = []
    for name, mask in sparse.masks().items():
        weight = dict(model.named_parameters())[name].detach()
        grown = mask & ~before[name]
        assert torch.equal(weight[~grown], old[name].where(mask, 0.0)[~grown])
        values = weight[grown] / deviations[name]
        assert len(values) > 200
        assert float(values.std()) == pytest.approx(1, abs=5 / math.sqrt(2 * len(values)))
        assert abs(float(values.mean())) < 5 / math.sqrt(len(values))
        drawn.append(values)
        momentum = optimizer.state[dict(model.named_parameters())[name]]["momentum_buffer"]
        assert not momentum[grown].any()
    size = min(map(len, drawn))
    assert not (drawn[0][:size] == drawn[1][:size]).any()


def test_every_reallocation_draws_anew_and_a_seed_draws_again():
    finals = []
    for _ in range(2):
        model = convnet()
        sparse, _, step = still(big(prune_count=50, initial_threshold=0.05), model)
        seen = []
        for _ in range(3):
            before = sparse.masks()
            step()
            weight = model[7].weight.detach()
            seen.append(weight[sparse.masks()["7.weight"] & ~before["7.weight"]])
        assert all(map(len, seen))
        assert not set(seen[0].tolist()) & set(seen[1].tolist())
        finals.append(model.state_dict())
    assert_same(dict(finals[0]), dict(finals[1]))


def test_a_place_just_pruned_that_must_grow_again_gets_a_new_value():
    model = nn.Sequential(nn.Linear(10, 10))
    masks = {"0.weight": torch.ones(10, 10, dtype=torch.bool)}
    masks["0.weight"][0, 0] = False
    method = big(exact=True, prune_count=60)
    sparse, _, step = still(method, model, masks=masks)
    old = model[0].weight.detach().clone()
    step()
    assert sparse.stats().grown == 60
    changed = (model[0].weight.detach() != old) & sparse.masks()["0.weight"]
    assert int(changed.sum()) == 60
    assert (model[0].weight.detach()[sparse.masks()["0.weight"]] != 0).all()


@pytest.mark.parametrize("exact", [False, True])
def test_off_by_default_new_weights_start_at_0(exact):
    model = convnet()
    method = dsr.DSR(0.5, period=1, stop=None, initial_threshold=0.05, exact=exact)
    sparse, _, step = still(method, model)
    before = sparse.masks()["7.weight"]
    step()
    grown = sparse.masks()["7.weight"] & ~before
    assert grown.any()
    assert not model[7].weight.detach()[grown].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_weights(dtype):
    model = convnet().to(dtype)
    sparse, _, step = still(big(exact=True, prune_count=40), model)
    before = sparse.masks()["3.weight"]
    step()
    grown = sparse.masks()["3.weight"] & ~before
    values = model[3].weight.detach()[grown].float() / math.sqrt(2 / (16 * 9))
    assert 0.5 < float(values.std()) < 1.5
