"""P7: NaN and Inf never corrupt a mask or the budget, and are reported by layer and count."""

import pytest
import torch
from nets import METHODS, OPTIMIZERS, assert_promises, assert_same, batch, make_sparse, mlp, train
from torch import nn

import dsr
from dsr.nonfinite import NonFiniteWatch


def _start(method, device, strict=False, name="momentum"):
    model = mlp(device=device)
    sparse = make_sparse(model, METHODS[method], total_steps=100, strict=strict)
    optimizer = OPTIMIZERS[name](model.parameters())
    sparse.attach(optimizer)
    train(model, sparse, optimizer, 4)
    return model, sparse, optimizer


def _backward(model, step):
    x, y = batch(model, step)
    nn.functional.cross_entropy(model(x), y).backward()


def _step(sparse, optimizer):
    """A step whose weights are not finite: a CPU finds that at once, a GPU when it is asked to."""
    optimizer.step()
    if next(iter(sparse.masks().values())).is_cuda:
        sparse.stats()


def _poison(model, sparse, value, count=2):
    mask = sparse.masks()["2.weight"]
    places = mask.flatten().nonzero().flatten()[:count]
    with torch.no_grad():
        model[2].weight.view(-1)[places] = value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("method", [*METHODS])
@pytest.mark.parametrize("steps", [1, 2])  # the second step is a reallocation
def test_poisoned_weights_raise(method, value, steps, device):
    model, sparse, optimizer = _start(method, device)
    if steps == 2:
        train(model, sparse, optimizer, 1, start=4)
    optimizer.zero_grad()
    _backward(model, 5)
    _poison(model, sparse, value)
    with pytest.raises(dsr.NonFiniteError, match=r"2\.weight: 2\b"):
        _step(sparse, optimizer)
    assert_promises(model, sparse, sparse.budget)
    mask = sparse.masks()["2.weight"]
    assert int((~torch.isfinite(model[2].weight[mask])).sum()) == 2  # kept, not pruned


def test_stats_and_state_dict_raise_too(device):
    model, sparse, _ = _start("dsr", device)
    _poison(model, sparse, float("nan"), count=1)
    for read in (sparse.stats, sparse.state_dict):
        with pytest.raises(dsr.NonFiniteError, match=r"2\.weight: 1\b"):
            read()


@pytest.mark.parametrize("where", ["gradient", "weight"])
def test_strict_raises_before_anything_changed(where, device):
    model, sparse, optimizer = _start("dsr", device, strict=True)
    train(model, sparse, optimizer, 1, start=4)
    optimizer.zero_grad()
    _backward(model, 5)
    if where == "gradient":
        mask = sparse.masks()["0.weight"]
        model[0].weight.grad[mask] = torch.nan
    else:
        _poison(model, sparse, torch.nan)
    before = [p.detach().clone() for p in model.parameters()]
    masks, step = sparse.masks(), sparse.step
    moments = [s["momentum_buffer"].clone() for s in optimizer.state.values()]
    with pytest.raises(dsr.NonFiniteError, match="gradients" if where == "gradient" else "weights"):
        optimizer.step()
    assert sparse.step == step
    assert_same(sparse.masks(), masks)
    for a, b in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(a.detach(), b, rtol=0, atol=0, equal_nan=True)
    for state, moment in zip(optimizer.state.values(), moments, strict=True):
        assert torch.equal(state["momentum_buffer"], moment)


def test_strict_lets_a_skipped_amp_step_pass(device):
    model = mlp(device=device)
    sparse = dsr.sparsify(model, METHODS["dsr"], total_steps=100, strict=True)
    optimizer = OPTIMIZERS["adam"](model.parameters(), fused=True)
    sparse.attach(optimizer)
    scaler = torch.amp.GradScaler(device.type, init_scale=8.0)
    x, y = batch(model, 0)
    scaler.scale(nn.functional.cross_entropy(model(x), y)).backward()
    model[0].weight.grad[0] = torch.inf
    scaler.step(optimizer)
    assert sparse.step == 0


def test_an_inactive_nan_is_cleared_and_no_error(device):
    model, sparse, optimizer = _start("dsr", device)
    mask = sparse.masks()["2.weight"]
    with torch.no_grad():
        model[2].weight[~mask] = torch.nan
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert_promises(model, sparse, sparse.budget)


class Late:
    """A GPU event that has happened once somebody waits for it."""

    def __init__(self):
        self.done = False

    def query(self):
        return self.done

    def synchronize(self):
        self.done = True


def test_watch_waits_only_for_what_is_far_behind():
    events = []

    def submitted(counts):  # as on a GPU, whose events happen late
        events.append(Late())
        watch._coming.append((counts, events[-1]))
        watch._wait_for_oldest()

    watch = NonFiniteWatch(["a"])
    for _ in range(watch.AHEAD):
        submitted(torch.tensor([0]))
        watch.check()
    assert not any(event.done for event in events)
    submitted(torch.tensor([3]))
    assert [event.done for event in events].index(False) == 1  # the oldest alone
    assert len(watch._coming) == watch.AHEAD
    with pytest.raises(dsr.NonFiniteError, match="a: 3"):
        watch.check(wait=True)


def _submit(watch, device, *counts):
    """Hand over counts from the device, and have them looked at."""
    watch.submit(*(torch.tensor(values, device=device) for values in counts))
    watch.check(wait=True)


def test_watch_reports_units_that_did_not_grow(device):
    watch = NonFiniteWatch(["a", "b"])
    _submit(watch, device, [0, 0], [0])
    with pytest.raises(ValueError, match="got 3 fewer"):
        _submit(watch, device, [0, 0], [3])
    with pytest.raises(dsr.NonFiniteError, match="b: 1"):
        _submit(watch, device, [0, 1], [-2])


def test_watch_reports_every_layer_once(device):
    watch = NonFiniteWatch(["a", "b", "c"])
    _submit(watch, device, [0, 0, 0])
    with pytest.raises(dsr.NonFiniteError, match=r"a: 1, c: 7\)"):
        _submit(watch, device, [1, 0, 7])
    watch.check(wait=True)
