"""The loops people write: AMP, accumulation, clipping, compile, channels_last, copies."""

import copy

import pytest
import torch
from nets import METHODS, OPTIMIZERS, assert_promises, batch, convnet, is_positive_zero, mlp, train
from torch import nn

import dsr


def _sparse(model, optimizer="momentum", method=METHODS["dsr"], **flags):
    sparse = dsr.sparsify(model, method, total_steps=1000)
    made = OPTIMIZERS[optimizer](model.parameters(), **flags)
    sparse.attach(made)
    return sparse, made


def _snapshot(model, sparse):
    state = sparse.state_dict()
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    return state["step"], state["reallocations"], state["masks"], float(state["threshold"]), weights


@pytest.mark.parametrize("flags", [{"foreach": True}, {"fused": True}], ids=["unfused", "fused"])
@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_a_step_that_amp_skips_changes_nothing_of_ours(name, flags, device):
    model = mlp(device=device)
    sparse, optimizer = _sparse(model, name, **flags)
    scaler = torch.amp.GradScaler(device.type, init_scale=8.0)
    skipped = 0
    for step in range(12):
        x, y = batch(model, step)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        if step % 3 == 2:  # the steps a reallocation would follow, had they counted
            model[0].weight.grad[0, 0] = torch.inf
            sparse_before = _snapshot(model, sparse)
        scaler.step(optimizer)
        scaler.update()
        if step % 3 == 2:
            after = _snapshot(model, sparse)
            assert after[:2] == sparse_before[:2]
            assert after[3] == sparse_before[3]
            for a, b in ((after[2], sparse_before[2]), (after[4], sparse_before[4])):
                assert all(torch.equal(a[key], b[key]) for key in a)
            skipped += 1
        assert_promises(model, sparse, sparse.budget)
    assert skipped == 4
    assert sparse.stats().step == 8
    assert sparse.stats().reallocations == 2


def test_an_inf_in_a_pruned_weights_gradient_does_not_skip_the_step(device):
    model = mlp(device=device)
    sparse, optimizer = _sparse(model)
    scaler = torch.amp.GradScaler(device.type, init_scale=8.0)
    mask = sparse.masks()["0.weight"]
    place = tuple((~mask).nonzero()[0].tolist())
    poison = torch.zeros_like(model[0].weight)
    poison[place] = torch.inf
    model[0].weight.register_hook(lambda gradient: gradient + poison)
    x, y = batch(model, 0)
    scaler.scale(nn.functional.cross_entropy(model(x), y)).backward()
    scaler.step(optimizer)
    assert sparse.stats().step == 1
    assert is_positive_zero(model[0].weight.detach()[~mask])


def test_accumulating_micro_batches_masks_every_sum(device):
    whole, parts = mlp(device=device), mlp(device=device)
    sparse, optimizer = _sparse(whole)
    sparse_parts, optimizer_parts = _sparse(parts)
    for step in range(8):
        x, y = batch(whole, step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(whole(x), y).backward()
        optimizer.step()
        optimizer_parts.zero_grad()
        for k in range(4):
            rows = slice(4 * k, 4 * k + 4)
            (nn.functional.cross_entropy(parts(x[rows]), y[rows]) / 4).backward()
            for name, mask in sparse_parts.masks().items():
                assert is_positive_zero(dict(parts.named_parameters())[name].grad[~mask])
        optimizer_parts.step()
    assert sparse.stats().step == sparse_parts.stats().step == 8
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_clipping_sees_only_active_gradients(device):
    model = mlp(device=device)
    sparse, _ = _sparse(model)
    x, y = batch(model, 0)
    nn.functional.cross_entropy(model(x), y).backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1e9)
    masks = sparse.masks()
    expected = torch.stack(
        [
            (p.grad[masks[name]] if name in masks else p.grad).square().sum()
            for name, p in model.named_parameters()
        ]
    ).sum()
    torch.testing.assert_close(norm, expected.sqrt())
    dense = torch.autograd.grad(nn.functional.cross_entropy(model(x), y), model[0].weight)[0]
    assert (dense[~masks["0.weight"]] != 0).any()


def test_a_backward_that_raises_does_not_disturb_the_next(device):
    model = mlp(device=device)
    sparse, optimizer = _sparse(model)
    x, y = batch(model, 0)

    def fail(gradient):
        raise KeyError("planted")

    handle = model[0].weight.register_hook(fail)
    with pytest.raises(KeyError, match="planted"):
        nn.functional.cross_entropy(model(x), y).backward()
    handle.remove()
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    for name, mask in sparse.masks().items():
        assert is_positive_zero(dict(model.named_parameters())[name].grad[~mask])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_weights_and_autocast(dtype, device):
    model = mlp(device=device).to(dtype)
    sparse, optimizer = _sparse(model, "sgd")
    for step in range(6):
        x, y = batch(model, step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x.to(dtype)).float(), y).backward()
        optimizer.step()
        assert_promises(model, sparse, sparse.budget)
        assert model[0].weight.dtype == dtype
    model = mlp(device=device)
    sparse, optimizer = _sparse(model)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        x, y = batch(model, 0)
        loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    assert_promises(model, sparse, sparse.budget)


def test_channels_last_trains_as_contiguous_does_up_to_its_own_masks(device):
    model = convnet(device=device).to(memory_format=torch.channels_last)
    sparse, optimizer = _sparse(model)
    assert model[3].weight.is_contiguous(memory_format=torch.channels_last)
    train(model, sparse, optimizer, 9, each=lambda _: assert_promises(model, sparse, sparse.budget))
    moment = optimizer.state[model[3].weight]["momentum_buffer"]
    mask = sparse.masks()["3.weight"]
    assert is_positive_zero(moment[~mask])
    assert (moment[mask] != 0).any()


def test_optimizer_state_in_another_memory_order_is_brought_into_the_weights(device):
    model = convnet(device=device).to(memory_format=torch.channels_last)
    sparse, optimizer = _sparse(model)
    train(model, sparse, optimizer, 2)
    state = optimizer.state[model[3].weight]
    state["momentum_buffer"] = state["momentum_buffer"].contiguous()
    train(model, sparse, optimizer, 1, start=2)  # reallocates
    assert is_positive_zero(state["momentum_buffer"][~sparse.masks()["3.weight"]])


@pytest.mark.parametrize("compiler", ["aot_eager", "inductor"])
def test_compiled_model_trains_to_the_same_masks(compiler, device):
    eager, compiled = mlp(device=device), mlp(device=device)
    sparse, optimizer = _sparse(eager, "sgd")
    sparse_compiled, optimizer_compiled = _sparse(compiled, "sgd")
    wrapped = torch.compile(compiled, backend=compiler)
    train(eager, sparse, optimizer, 7)
    for step in range(7):
        x, y = batch(compiled, step)
        optimizer_compiled.zero_grad()
        nn.functional.cross_entropy(wrapped(x), y).backward()
        optimizer_compiled.step()
    assert_promises(compiled, sparse_compiled, sparse_compiled.budget)
    assert sparse_compiled.stats().reallocations == sparse.stats().reallocations == 2
    if device.type == "cpu":  # a kernel made by the compiler may round in its own way on a GPU
        for name, mask in sparse.masks().items():
            assert torch.equal(mask, sparse_compiled.masks()[name])


def test_averaged_copy_is_masked_by_apply_to(device):
    model = mlp(device=device)
    sparse, optimizer = _sparse(model)
    ema = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    )
    train(model, sparse, optimizer, 9, each=lambda _: ema.update_parameters(model))
    mask = sparse.masks()["0.weight"]
    assert (ema.module[0].weight[~mask] != 0).any()
    sparse.apply_to(ema)
    assert is_positive_zero(ema.module[0].weight.detach()[~mask])
    assert (ema.module[0].weight[mask] != 0).any()


def test_deepcopy_and_export_carry_no_hooks(device):
    model = mlp(device=device)
    sparse, optimizer = _sparse(model)
    train(model, sparse, optimizer, 4)
    for plain in (copy.deepcopy(model), sparse.export()):
        step = sparse.stats().step
        other = torch.optim.SGD(plain.parameters(), lr=0.1)
        x, y = batch(plain, 0)
        nn.functional.cross_entropy(plain(x), y).backward()
        gradient = plain[0].weight.grad
        assert (gradient[~sparse.masks()["0.weight"]] != 0).any()
        other.step()
        assert sparse.stats().step == step
    exported = torch.export.export(sparse.export().eval(), (torch.randn(2, 12, device=device),))
    x = torch.randn(2, 12, device=device)
    torch.testing.assert_close(exported.module()(x), model.eval()(x))
    with pytest.raises(TypeError, match="apply_to"):
        copy.deepcopy(sparse)


def test_detach_returns_an_ordinary_model(device):
    model = mlp(device=device)
    sparse, optimizer = _sparse(model)
    train(model, sparse, optimizer, 2)
    sparse.detach()
    x, y = batch(model, 0)
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
    assert sparse.step == 2
    assert (model[0].weight[~sparse.masks()["0.weight"]] != 0).any()
    dsr.sparsify(model, dsr.Static(0.5))  # and may be made sparse again
