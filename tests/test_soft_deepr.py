"""Soft DeepR against the original's own terms: a sign and a number that may fall below 0."""

import pytest
import torch
from nets import assert_promises, assert_same, batch, is_positive_zero, mlp, train
from soft_deepr import ONE, start

import dsr
from dsr.experiments.options import parse_option
from dsr_kernels import Purpose, add_noise_


def dormant(sparse):
    values = sparse._state.dormant.values
    return {n: v.clone() for n, v in zip(sparse.masks(), values, strict=True)}


def weights(model, sparse):
    parameters = dict(model.named_parameters())
    return {name: parameters[name].detach().clone() for name in sparse.masks()}


def floor_of(mask, method, rate=0.1):
    """s / (1 - s) * lr * noise^2 / (2 l1), as the original's code has it for each layer."""
    active = int(mask.sum())
    return (mask.numel() - active) / active * rate * 2 * method.eta / (2 * method.l1)


def theta(weight, value, mask, floor):
    """The original's number of each connection, times its sign: positive awake, negative asleep."""
    return torch.where(mask, weight, -value * floor)


def test_each_step_is_that_of_the_original():
    model, sparse, optimizer = start()
    woken = asleep = 0
    floors = {name: floor_of(mask, sparse.method) for name, mask in sparse.masks().items()}
    for step in range(6):
        values, before = dormant(sparse), sparse.masks()
        noise = [torch.zeros_like(value) for value in values.values()]
        add_noise_(
            noise,
            sparse._state.dormant.every,
            0.1 * (2 * 0.01) ** 0.5 / torch.tensor(list(floors.values())),
            seed=5,
            counter=torch.tensor([step + 1]),
            purpose=Purpose.DORMANT_NOISE,
        )
        old = weights(model, sparse)
        train(model, sparse, optimizer, 1, start=step)
        new, after, now = weights(model, sparse), dormant(sparse), sparse.masks()
        for (name, mask), drawn in zip(before.items(), noise, strict=True):
            gradient, floor = dict(model.named_parameters())[name].grad, floors[name]
            moved = old[name] - 0.1 * (gradient + 1e-3 * old[name])  # weight decay of the optimizer
            flips = moved * old[name] < 0
            walked = values[name] + drawn
            wakes = walked * values[name] < 0
            assert torch.equal(now[name], torch.where(mask, ~flips, wakes))
            expected = torch.where(mask, moved, walked.clamp(-1, 1) * -floor)
            got = theta(new[name], after[name], now[name], floor)
            # What crosses 0 keeps its number; only one below the floor is raised to it.
            low = ~now[name] & (expected.abs() > floor)
            torch.testing.assert_close(got[~low], expected[~low], rtol=1e-5, atol=1e-8)
            assert (after[name].abs() <= 1).all()
            woken, asleep = woken + int((~mask & wakes).sum()), asleep + int((mask & flips).sum())
        assert_promises(model, sparse)
    assert woken > 50
    assert asleep > 50


def test_signs_stay_with_their_positions():
    model, sparse, optimizer = start("momentum")

    def signs():
        parts = zip(weights(model, sparse).values(), dormant(sparse).values(), strict=True)
        # A weight has its connection's sign, and so has a dormant value.
        return [(weight + value).sign() for weight, value in parts]

    was = signs()
    moved = 0
    for step in range(8):
        train(model, sparse, optimizer, 1, start=step)
        for a, b in zip(was, signs(), strict=True):
            assert torch.equal(a, b)
            assert (b != 0).all()
        moved += sparse.stats().grown
    assert moved > 100


def test_values_start_dense_at_0_and_only_where_inactive():
    _, sparse, _ = start(sparsity=0.9)
    for name, value in dormant(sparse).items():
        mask = sparse.masks()[name]
        assert is_positive_zero(value[mask])
        assert bool((value[~mask] != 0).all())
    drawn = torch.cat([v[~sparse.masks()[n]] for n, v in dormant(sparse).items()])
    near_0 = float((drawn.abs() < 0.1).float().mean())
    assert near_0 == pytest.approx(0.1, abs=0.03)  # as of uniform numbers
    assert 0.1 < float((drawn.abs() == 1).float().mean()) < 0.3
    assert abs(float(drawn.sign().mean())) < 0.08


@pytest.mark.parametrize("distribution", ["uniform", "erdos-renyi"])
def test_without_a_loss_noise_and_l1_keep_the_sparsity_of_each_layer(distribution):
    model, sparse, optimizer = start("sgd", sparsity=0.8, l1=3e-2, distribution=distribution)
    first = torch.tensor([int(mask.sum()) for mask in sparse.masks().values()])
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.0
    active = []
    for _ in range(600):
        optimizer.zero_grad()
        sum(weight.sum() * 0 for weight in model.parameters()).backward()
        sparse.penalty().backward()
        optimizer.step()
        active.append([int(mask.sum()) for mask in sparse.masks().values()])
    means = torch.tensor(active[100:]).float().mean(0)
    assert ((means - first).abs() / first < 0.25).all()


def test_there_is_no_budget_and_it_says_so():
    model, sparse, optimizer = start()
    counts = set()
    train(model, sparse, optimizer, 8, each=lambda _: counts.add(sparse.stats().active))
    assert len(counts) > 1
    assert (sparse.budget, sparse.stats().budget) == (None, None)
    assert dsr.sparsify(mlp(), dsr.DeepR(0.7, stop=None), total_steps=9).budget is not None


@pytest.mark.parametrize("as_tensor", [False, True])
def test_the_learning_rate_scales_floor_and_noise_alike(as_tensor):
    model, sparse, optimizer = start(eta=1e-3)
    optimizer.param_groups[0]["lr"] = torch.tensor(0.0) if as_tensor else 0.0
    before = dormant(sparse)
    train(model, sparse, optimizer, 1)
    for name, value in dormant(sparse).items():  # at a rate of 0 they walk on, and wake at 0
        still = ~sparse.masks()[name] & (value.abs() < 1) & (before[name].abs() < 1)
        assert (value[still] != before[name][still]).all()
        assert torch.isfinite(value).all()
    optimizer.param_groups[0]["lr"] = torch.tensor(0.05) if as_tensor else 0.05
    before, masks = dormant(sparse), sparse.masks()
    train(model, sparse, optimizer, 1, start=1)
    farthest = 3.63 * 0.05 * (2 * 1e-3) ** 0.5  # what one draw of noise moves at most
    for name, weight in weights(model, sparse).items():
        woken = sparse.masks()[name] & ~masks[name]
        assert woken.any()
        assert (weight[woken].abs() < farthest).all()


def test_a_layer_without_a_weight_asleep_at_the_start():
    masks = {name: torch.ones_like(w, dtype=torch.bool) for name, w in mlp().named_parameters()}
    model = mlp()
    masks = {name: mask for name, mask in masks.items() if mask.dim() > 1}
    masks["0.weight"][:3] = False
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method = dsr.DeepR(0.5, l1=1e-2, temperatures=(1.0,), **ONE)
    sparse = dsr.sparsify(model, method, masks=masks, optimizer=optimizer)
    train(model, sparse, optimizer, 30)
    assert sparse.stats().total_pruned > 30
    assert_promises(model, sparse)
    assert all(weight.abs().max() < 100 for weight in weights(model, sparse).values())


def test_after_the_stop_nothing_moves():
    model, sparse, optimizer = start(stop=0.5, total_steps=8)
    train(model, sparse, optimizer, 4)
    kept = (dormant(sparse), sparse.masks())
    train(model, sparse, optimizer, 3, start=4)
    assert_same((dormant(sparse), sparse.masks()), kept)
    assert sparse.stats().reallocations == 4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_weights(dtype):
    model, sparse, optimizer = start(dtype=dtype)
    for step in range(5):
        x, _ = batch(model, step)
        optimizer.zero_grad()
        model(x.to(dtype)).square().mean().backward()
        optimizer.step()
        assert_promises(model, sparse)
    assert sparse.stats().total_grown > 0
    assert all(value.dtype == torch.float32 for value in dormant(sparse).values())


def test_a_state_of_another_method_has_no_dormant_values():
    model, sparse, optimizer = start("momentum", soft=False)
    train(model, sparse, optimizer, 2)
    assert "dormant" not in sparse.state_dict()


def test_the_state_travels_between_memory_formats():
    def convolution(memory_format):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 5, 3))
        model = model.to(memory_format=memory_format)
        method = dsr.DeepR(0.5, temperatures=(1.0,), **ONE)
        return dsr.sparsify(model, method, include="*")

    one, other = convolution(torch.contiguous_format), convolution(torch.channels_last)
    state = one.state_dict()
    assert not torch.equal(state["dormant"]["1.weight"], other.state_dict()["dormant"]["1.weight"])
    other.load_state_dict(state)
    assert_same(other.state_dict(), state)


def test_the_command_line_takes_it():
    assert parse_option(dsr.DeepR, "soft=true") == ("soft", True)
