"""P1 and P2 after every step, for every method, optimizer and implementation of it."""

import pytest
import torch
from nets import (
    FIXED,
    METHODS,
    OPTIMIZERS,
    assert_promises,
    convnet,
    is_positive_zero,
    make_sparse,
    mlp,
    train,
)

import dsr


@pytest.mark.parametrize("implementation", ["single", "foreach", "fused"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_budget_and_zeros_hold_after_every_step(name, implementation, device):
    flags = {"single": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
    if implementation == "fused" and name == "rmsprop":
        implementation = "foreach"  # torch has no fused RMSprop
    model = mlp(device=device)
    sparse = dsr.sparsify(model, METHODS["dsr"], total_steps=100)
    optimizer = OPTIMIZERS[name](model.parameters(), **flags[implementation])
    sparse.attach(optimizer)
    budget = sparse.budget
    train(model, sparse, optimizer, 20, each=lambda _: assert_promises(model, sparse, budget))
    stats = sparse.stats()
    assert stats.reallocations == 6
    assert stats.total_pruned == stats.total_grown > 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("net", [mlp, convnet])
def test_every_method_keeps_its_promises(method, net, device):
    model = net(device=device)
    sparse = make_sparse(model, METHODS[method], total_steps=100)
    optimizer = OPTIMIZERS["nesterov"](model.parameters())
    sparse.attach(optimizer)
    start = sparse.budget
    first = sparse.masks()
    train(model, sparse, optimizer, 20, each=lambda _: assert_promises(model, sparse))
    if start is not None:
        assert (sparse.budget < start) == (method == "compressed")
    moved = any(not torch.equal(first[name], mask) for name, mask in sparse.masks().items())
    assert moved == (method not in FIXED)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_grown_and_pruned_weights_start_with_clear_state(name, device):
    model = mlp(device=device)
    sparse = dsr.sparsify(model, dsr.SET(sparsity=0.5, prune_fraction=0.3, period=5, stop=None))
    optimizer = OPTIMIZERS[name](model.parameters())
    sparse.attach(optimizer)
    train(model, sparse, optimizer, 4)
    before = sparse.masks()
    train(model, sparse, optimizer, 1, start=4)
    after = sparse.masks()
    for parameter_name, parameter in model.named_parameters():
        if parameter_name not in after:
            continue
        changed = before[parameter_name] ^ after[parameter_name]
        assert changed.any()
        assert is_positive_zero(parameter.detach()[changed])
        for key, state in optimizer.state[parameter].items():
            if state.shape == parameter.shape:
                assert is_positive_zero(state[changed]), key
                assert (state[after[parameter_name] & ~changed] != 0).any(), key


def test_keep_state_leaves_it(device):
    model = mlp(device=device)
    method = dsr.DSR(0.5, period=5, stop=None, initial_threshold=0.05, keep_state=True)
    sparse = dsr.sparsify(model, method)
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparse.attach(optimizer)
    train(model, sparse, optimizer, 4)
    before = sparse.masks()
    train(model, sparse, optimizer, 1, start=4)
    pruned = {name: before[name] & ~mask for name, mask in sparse.masks().items()}
    momenta = [
        optimizer.state[p]["momentum_buffer"][pruned[name]]
        for name, p in model.named_parameters()
        if name in pruned
    ]
    assert any((momentum != 0).any() for momentum in momenta)


def test_set_keeps_each_layers_count_and_dsr_the_total(device):
    for key, same_layers in (("set", True), ("dsr", False)):
        model = mlp(device=device)
        sparse = dsr.sparsify(model, METHODS[key], total_steps=100)
        optimizer = OPTIMIZERS["nesterov"](model.parameters())
        sparse.attach(optimizer)
        first = [layer.active for layer in sparse.stats().layers]
        train(model, sparse, optimizer, 30)
        last = [layer.active for layer in sparse.stats().layers]
        assert sum(first) == sum(last)
        assert (first == last) is same_layers


def test_threshold_follows_the_number_pruned(device):
    model = mlp(device=device)
    sparse = dsr.sparsify(
        model, dsr.DSR(0.5, prune_count=50, period=1, stop=None, initial_threshold=1e-3)
    )
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    sparse.attach(optimizer)
    threshold = 1e-3
    for step in range(25):
        train(model, sparse, optimizer, 1, start=step)
        stats = sparse.stats()
        if stats.pruned > 55:
            threshold /= 2
        elif stats.pruned < 45:
            threshold *= 2
        assert stats.threshold == pytest.approx(threshold, rel=1e-6)
    assert stats.threshold > 1e-3


def test_gradients_of_inactive_weights_are_zero_when_backward_ends(device):
    model = mlp(device=device)
    sparse = dsr.sparsify(model, METHODS["dsr"], total_steps=10)
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparse.attach(optimizer)
    model(torch.randn(8, 12, device=device)).square().sum().backward()
    for name, mask in sparse.masks().items():
        gradient = dict(model.named_parameters())[name].grad
        assert is_positive_zero(gradient[~mask])
        assert (gradient[mask] != 0).any()


def test_steps_after_stop_and_the_last_move_nothing(device):
    model = mlp(device=device)
    sparse = dsr.sparsify(model, dsr.SET(0.5, period=2, stop=0.5), total_steps=20)
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    sparse.attach(optimizer)
    counts = []
    train(model, sparse, optimizer, 20, each=lambda _: counts.append(sparse.stats().reallocations))
    assert counts == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, *[5] * 10]


def test_default_periods_are_the_papers_shortened():
    method = dsr.DSR(0.9)
    due = [step for step in range(1, 1301) if method.due(step, 1300)]
    assert due[:3] == [26, 52, 78]
    assert 20 < len(due) < 30
    assert max(due) <= 0.95 * 1300
    long = [step for step in range(1, 60001) if method.due(step, 60000)]
    assert long[0] == 100
    assert len(long) == 150 + 75 + 37 + 15


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (3, 0)])
def test_empty_and_single_weights(shape, device):
    torch.manual_seed(0)
    layers = {"tiny": torch.nn.Linear(*shape), "other": torch.nn.Linear(6, 5)}
    model = torch.nn.ModuleDict(layers).to(device)
    sparse = dsr.sparsify(model, dsr.DSR(0.5, period=1, stop=None, initial_threshold=0.3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparse.attach(optimizer)
    budget = sparse.budget
    for _ in range(6):
        optimizer.zero_grad()
        loss = model["other"](torch.randn(4, 6, device=device)).square().sum()
        (loss + model["tiny"](torch.randn(2, shape[0], device=device)).sum()).backward()
        optimizer.step()
        assert_promises(model, sparse, budget)
