"""DeepR: noise before the step, sign flips replaced after it, against plain PyTorch."""

import math

import pytest
import torch
from nets import OPTIMIZERS, assert_promises, assert_same, batch, is_positive_zero, mlp, train

import dsr
from dsr.methods import Reallocation, SignFlips
from dsr_kernels import BitMask, SparseLayout, add_noise_

LOUD = {"temperatures": (1.0,), "temperature_starts": (0.0,), "stop": None}


def start(optimizer="momentum", sparsity=0.5, total_steps=None, **fields):
    model = mlp()
    method = dsr.DeepR(sparsity, **{**LOUD, **fields})
    made = OPTIMIZERS[optimizer](model.parameters())
    sparse = dsr.sparsify(model, method, total_steps=total_steps, optimizer=made, seed=5)
    return model, sparse, made


def named(model, sparse):
    parameters = dict(model.named_parameters())
    return {name: parameters[name] for name in sparse.masks()}


def backward(model, step=0):
    x, y = batch(model, step)
    model.zero_grad()
    torch.nn.functional.cross_entropy(model(x), y).backward()


def clones(model, sparse):
    weights = named(model, sparse)
    return {name: w.detach().clone() for name, w in weights.items()}, sparse.masks()


def test_exactly_the_flips_are_replaced_in_their_layer():
    model, sparse, optimizer = start()
    flips = 0
    for step in range(5):
        old, before = clones(model, sparse)
        buffers = {
            name: optimizer.state[weight].get("momentum_buffer", torch.zeros(1)).clone()
            for name, weight in named(model, sparse).items()
        }
        backward(model, step)
        optimizer.step()
        for name, weight in named(model, sparse).items():
            mask, was = sparse.masks()[name], before[name]
            # SGD by hand, with the noisy gradient that the step has left in .grad.
            buffer = 0.9 * buffers[name] + weight.grad + 1e-3 * old[name]
            stepped = old[name] - 0.1 * buffer
            flipped = was & (stepped * old[name] < 0)
            assert torch.equal(was & ~mask, flipped)
            assert int(mask.sum()) == int(was.sum())
            changed = mask ^ was
            assert is_positive_zero(weight.detach()[changed])
            assert is_positive_zero(optimizer.state[weight]["momentum_buffer"][changed])
            flips += int(flipped.sum())
    assert flips > 20


def test_a_grown_weight_takes_the_sign_of_its_first_step():
    model, sparse, optimizer = start("sgd")
    train(model, sparse, optimizer, 4)
    zero = {n: m & (named(model, sparse)[n] == 0) for n, m in sparse.masks().items()}
    assert sum(int(mask.sum()) for mask in zero.values()) > 0
    before = sparse.masks()
    train(model, sparse, optimizer, 1, start=4)
    for name, mask in sparse.masks().items():
        assert mask[zero[name] & before[name]].all()  # +0 to negative is no flip


def test_noise_goes_on_active_gradients_and_is_that_of_the_op():
    model, sparse, optimizer = start(eta=0.02, temperatures=(1e-2,))
    layout = SparseLayout.of_elements(w.numel() for w in named(model, sparse).values())
    for step in range(3):
        backward(model, step)
        clean = [w.grad.clone() for w in named(model, sparse).values()]
        masks = list(sparse.masks().values())
        optimizer.step()
        bits = BitMask.from_bools(layout, [mask.flatten() for mask in masks])
        scale = torch.full((3,), math.sqrt(2 * 0.02 * 1e-2))
        noisy = [gradient.clone() for gradient in clean]
        add_noise_(noisy, bits, scale, seed=5, counter=torch.tensor([step + 1]))
        for weight, expected in zip(named(model, sparse).values(), noisy, strict=True):
            assert torch.equal(weight.grad, expected)
        noise = torch.cat([(n - c)[m] for n, c, m in zip(noisy, clean, masks, strict=True)])
        assert float(noise.std()) == pytest.approx(0.02, rel=0.15)
        assert all(not (n - c)[~m].any() for n, c, m in zip(noisy, clean, masks, strict=True))


def test_temperatures_follow_their_stretches_and_stop_ends_all():
    method = dsr.DeepR(0.5)
    expected = {1: 1e-5, 250: 1e-5, 251: 1e-8, 501: 1e-12, 751: 1e-15, 950: 1e-15}
    for step, temperature in expected.items():
        assert method.noise_at(step, 1000) == math.sqrt(2 * 0.01 * temperature)
    assert [step for step in range(1, 1001) if not method.due(step, 1000)] == [*range(951, 1001)]
    model, sparse, optimizer = start(stop=0.5, total_steps=8)
    train(model, sparse, optimizer, 4)
    assert sparse.stats().reallocations == 4
    backward(model)
    clean = model[0].weight.grad.clone()
    optimizer.step()
    assert torch.equal(model[0].weight.grad, clean)
    assert sparse.stats().reallocations == 4


def test_the_global_constraint_grows_by_size():
    model, sparse, optimizer = start("sgd", constraint="global", sparsity=0.8)
    sizes = {name: weight.numel() for name, weight in named(model, sparse).items()}
    before = sparse.masks()
    train(model, sparse, optimizer, 1)
    after = sparse.masks()
    pruned = sum(int((before[name] & ~after[name]).sum()) for name in before)
    assert pruned > 10
    for name, size in sizes.items():
        grown = int((after[name] & ~before[name]).sum())
        assert abs(grown - pruned * size / sum(sizes.values())) < 1
    assert_promises(model, sparse)


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_amp_skips_changes_nothing(fused):
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, fused=fused)
    sparse = dsr.sparsify(model, dsr.DeepR(0.5, **LOUD), optimizer=optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    x, y = batch(model, 0)
    for bad in (False, True, False):
        optimizer.zero_grad()
        scaler.scale(torch.nn.functional.cross_entropy(model(x), y)).backward()
        if bad:
            model[0].bias.grad[0] = torch.inf
        old, before = clones(model, sparse)
        gradients = [weight.grad.clone() for weight in named(model, sparse).values()]
        moves = sparse.stats().reallocations
        scaler.step(optimizer)
        now, after = clones(model, sparse)
        if bad:
            assert_same((now, after), (old, before))
            assert sparse.stats().reallocations == moves
            scales = (1, 8) if not fused else (1,)  # the scaler may have unscaled them
            for weight, gradient in zip(named(model, sparse).values(), gradients, strict=True):
                assert any(torch.equal(weight.grad * scale, gradient) for scale in scales)
        else:
            assert sparse.stats().reallocations == moves + 1
        scaler.update()


def test_a_fused_optimizer_that_unscales_gets_scaled_noise():
    finals = []
    for scale in (1.0, 1024.0):
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
        sparse = dsr.sparsify(model, dsr.DeepR(0.5, **LOUD), optimizer=optimizer)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000)
        for step in range(3):
            x, y = batch(model, step)
            optimizer.zero_grad()
            scaler.scale(torch.nn.functional.cross_entropy(model(x), y)).backward()
            scaler.step(optimizer)
            scaler.update()
        finals.append(clones(model, sparse))
    assert_same(finals[0][1], finals[1][1])
    for name, weight in finals[0][0].items():
        torch.testing.assert_close(weight, finals[1][0][name])


def test_weights_replaced_between_steps_are_no_flips():
    model, sparse, optimizer = start("sgd", eta=0.0)
    train(model, sparse, optimizer, 2)
    state = {key: -value for key, value in model.state_dict().items()}
    model.load_state_dict(state)
    before = sparse.masks()
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    assert_same(sparse.masks(), before)


def test_a_closure_is_refused_and_nothing_changed():
    model, sparse, optimizer = start()
    backward(model)
    gradient = model[0].weight.grad.clone()
    for call in (lambda: optimizer.step(lambda: None), lambda: optimizer.step(closure=list)):
        with pytest.raises(ValueError, match="closure: this method changes gradients"):
            call()
    assert torch.equal(model[0].weight.grad, gradient)
    assert sparse.step == 0
    optimizer.step(None)
    assert sparse.step == 1


def test_the_rule_alone_is_refused():
    with pytest.raises(RuntimeError, match="before_step rule to take the signs"):
        SignFlips().apply(Reallocation(*[None] * 14))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_weights(dtype):
    model = mlp().to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparse = dsr.sparsify(model, dsr.DeepR(0.5, **LOUD), optimizer=optimizer)
    for step in range(4):
        x, _ = batch(model, step)
        optimizer.zero_grad()
        model(x.to(dtype)).square().mean().backward()
        optimizer.step()
        assert_promises(model, sparse)
    assert sparse.stats().total_pruned > 0
