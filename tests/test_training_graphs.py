"""Optimizer steps in a CUDA graph: what the hooks do at capture, and `replayed` behind a replay.

No graph here: a step "captured" and run is what a graph replays, since at capture the hooks only
launch kernels.
"""

import pytest
import torch
from nets import METHODS, OPTIMIZERS, assert_promises, assert_same, batch, make_sparse, mlp, train
from torch.utils._python_dispatch import TorchDispatchMode

import dsr
from dsr import hooks
from dsr_kernels.schema import OPS

REFUSED = {
    "rigl": "backward: RigL needs the gradients of inactive weights in some steps",
    "deepr": "optimizer.step: DeepR does something else in some steps",
    "deepr-soft": "optimizer.step: DeepR does something else in some steps",
}


def start(method, **arguments):
    model = mlp()
    sparse = make_sparse(model, method, total_steps=100, seed=3, **arguments)
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparse.attach(optimizer)
    return model, sparse, optimizer


@pytest.fixture
def capture(monkeypatch):
    def begin(on):
        monkeypatch.setattr(hooks, "is_captured", lambda device: on)

    return begin


@pytest.mark.parametrize("name", sorted(METHODS.keys() - REFUSED.keys()))
def test_replays_end_where_eager_steps_do(name, capture):
    eager, replayed = start(METHODS[name]), start(METHODS[name])
    train(*eager, 20)
    model, sparse, optimizer = replayed
    for step in range(20):
        capture(True)
        train(model, sparse, optimizer, 1, start=step)
        assert sparse.step == step
        assert_promises(model, sparse)
        capture(False)
        sparse.replayed()
        assert_promises(model, sparse)
    assert_same(*(part.state_dict() for part in (eager[0], model)))
    assert_same(*(part.state_dict() for part in (eager[1], sparse)))
    assert sparse.step == 20


@pytest.mark.parametrize("name", REFUSED)
def test_steps_that_differ_are_refused(name, capture):
    model, sparse, optimizer = start(METHODS[name])
    capture(True)
    with pytest.raises(RuntimeError, match=REFUSED[name]):
        train(model, sparse, optimizer, 1)
    assert sparse.step == 0


def test_a_step_that_gradscaler_may_skip_is_refused(capture):
    model, sparse, _ = start(METHODS["dsr"])
    sparse.detach()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
    sparse.attach(optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(model(torch.randn(4, 12)).sum()).backward()
    capture(True)
    with pytest.raises(RuntimeError, match="GradScaler may skip it"):
        scaler.step(optimizer)
    assert sparse.step == 0


def test_deepr_may_have_forward_and_backward_captured(capture):
    eager, half = start(METHODS["deepr"]), start(METHODS["deepr"])
    train(*eager, 6)
    for step in range(6):
        model, _, optimizer = half
        x, y = batch(model, step)
        capture(True)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        capture(False)
        optimizer.step()
    assert_same(eager[1].masks(), half[1].masks())


def test_strict_is_refused(capture):
    model, sparse, optimizer = start(METHODS["dsr"], strict=True)
    capture(True)
    with pytest.raises(RuntimeError, match="strict looks at every gradient"):
        train(model, sparse, optimizer, 1)


def test_a_replay_of_nothing_is_refused():
    model = mlp()
    sparse = dsr.sparsify(model, METHODS["deepr"], total_steps=100)
    with pytest.raises(RuntimeError, match=r"replayed: no optimizer.step\(\) was captured"):
        sparse.replayed()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparse.attach(optimizer)
    train(model, sparse, optimizer, 2)
    with pytest.raises(RuntimeError, match=r"a step that really runs is counted by itself"):
        sparse.replayed()
    assert sparse.step == 2


class Kernels(TorchDispatchMode):
    """Notes every operator that computes or copies: on a GPU a launch each."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if not func.is_view:
            self.names.append(func.__name__.partition(".")[0])
        return func(*args, **(kwargs or {}))


def test_a_reallocation_of_dsr_is_four_ops_and_nine_small_kernels_in_place():
    model, sparse, optimizer = start(dsr.DSR(sparsity=0.8, period=3, stop=None))
    train(model, sparse, optimizer, 2)
    held = {name: getattr(sparse._state, name) for name in sparse._state.FIELDS}
    addresses = {name: value.data_ptr() for name, value in held.items() if name != "ever"}
    with Kernels() as kernels:
        sparse._advance(optimizer)
    assert sparse.stats().reallocations == 1
    launched = kernels.names[: kernels.names.index("bitwise_or_") + 1]  # then a CPU looks for NaN
    assert [name for name in launched if name in OPS] == [
        "prune_threshold_", "allocate_growth", "grow_random_", "reset_state_",
    ]  # fmt: skip
    assert len(launched) == 13, launched
    for name, address in addresses.items():
        assert getattr(sparse._state, name).data_ptr() == address, name
