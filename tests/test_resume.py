"""P3: train 2N == train N, save, load in another process, train N: equal bit for bit."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from nets import FIXED, METHODS, OPTIMIZERS, assert_same, convnet, make_sparse, mlp, train

import dsr

HERE = Path(__file__).parent
NETS = {"mlp": mlp, "convnet": convnet}


def start(method: str, optimizer: str, net: str, device="cpu"):
    model = NETS[net](device=device)
    if net == "convnet":
        model = model.to(memory_format=torch.channels_last)
    sparse = make_sparse(model, METHODS[method], total_steps=100, seed=3)
    made = OPTIMIZERS[optimizer](model.parameters())
    sparse.attach(made)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(made, 100)
    return {"model": model, "optimizer": made, "sparse": sparse, "schedule": schedule}


def go(parts, steps, first):
    for step in range(first, first + steps):
        train(parts["model"], parts["sparse"], parts["optimizer"], 1, start=step)
        parts["schedule"].step()


def final(parts):
    return {
        **{name: part.state_dict() for name, part in parts.items()},
        "raw_masks": parts["sparse"].masks(),
    }


def resume_in_this_process(directory: str, method: str, optimizer: str, net: str, steps: int):
    torch.set_num_threads(1)
    parts = start(method, optimizer, net)
    step = dsr.Checkpoints(directory).load_latest(**parts)
    go(parts, steps, step)
    torch.save(final(parts), f"{directory}/final.pt")


@pytest.mark.parametrize(
    ("method", "optimizer", "net"),
    [
        ("dsr", "momentum", "mlp"),
        ("dsr", "adamw", "convnet"),
        ("set", "nesterov", "convnet"),
        ("rigl", "momentum", "convnet"),
        ("sparse-momentum", "adam", "mlp"),
        ("deepr", "nesterov", "convnet"),
        ("deepr-soft", "nesterov", "convnet"),
        ("compressed", "nesterov", "mlp"),
        ("snip", "sgd", "convnet"),
        ("static", "rmsprop", "mlp"),
        ("dense", "adam", "mlp"),
    ],
)
def test_resume_in_a_second_process_is_bit_exact(tmp_path, method, optimizer, net):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = start(method, optimizer, net)
        go(whole, 20, 0)
        half = start(method, optimizer, net)
        go(half, 10, 0)
        dsr.Checkpoints(tmp_path).save(10, **half)
    finally:
        torch.set_num_threads(threads)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_resume; "
        "test_resume.resume_in_this_process(*sys.argv[2:6], 10)"
    )
    paths = [str(HERE), *(path for path in sys.path if path)]
    subprocess.run(
        [sys.executable, "-c", code, str(HERE), str(tmp_path), method, optimizer, net],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    resumed = torch.load(tmp_path / "final.pt", weights_only=False)
    assert_same(resumed, final(whole))
    moves = {"compressed": 4, "deepr": 20, "deepr-soft": 20} | dict.fromkeys(FIXED, 0)
    assert whole["sparse"].stats().reallocations == moves.get(method, 6)


@pytest.fixture
def deterministic():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("method", "optimizer", "net"),
    [
        ("dsr", "adamw", "convnet"),
        ("sparse-momentum", "momentum", "mlp"),
        ("deepr-soft", "nesterov", "convnet"),
    ],
)
def test_resume_in_the_same_process_is_bit_exact(
    tmp_path, method, optimizer, net, device, deterministic
):
    pytest.importorskip("safetensors")  # which `make test-gpu` may have to do without
    whole, half, resumed = (start(method, optimizer, net, device) for _ in range(3))
    go(whole, 14, 0)
    go(half, 7, 0)
    dsr.Checkpoints(tmp_path).save(7, **half)
    assert dsr.Checkpoints(tmp_path).load_latest(**resumed) == 7
    go(resumed, 7, 7)
    assert_same(final(resumed), final(whole))
    assert {mask.device.type for mask in resumed["sparse"].masks().values()} == {device.type}


def test_parts_may_be_loaded_in_any_order(device, deterministic):
    saved = start("dsr", "momentum", "mlp", device)
    go(saved, 10, 0)
    file = pickle.dumps({name: part.state_dict() for name, part in saved.items()})
    go(saved, 10, 10)
    orders = (["sparse", "model", "optimizer"], ["optimizer", "sparse", "model"])
    for order in orders:
        states, parts = pickle.loads(file), start("dsr", "momentum", "mlp", device)
        for name in [*order, "schedule"]:
            parts[name].load_state_dict(states[name])
        go(parts, 10, 10)
        assert_same(final(parts), final(saved))


def test_masks_travel_between_memory_formats(device):
    """Files hold logical order: a contiguous run's masks load into a channels_last model."""
    contiguous = convnet(device=device)
    sparse = dsr.sparsify(contiguous, dsr.Static(0.5))
    other = convnet(device=device).to(memory_format=torch.channels_last)
    sparse_other = dsr.sparsify(other, dsr.Static(0.5))
    assert not torch.equal(sparse.masks()["3.weight"], sparse_other.masks()["3.weight"])
    sparse_other.load_state_dict(sparse.state_dict())
    assert torch.equal(sparse.masks()["3.weight"], sparse_other.masks()["3.weight"])


def _corrupt(key, value):
    def change(state):
        state[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda s: s.pop("masks"), "masks"),
        (_corrupt("extra", 1), "extra"),
        (_corrupt("seed", 4), "seed"),
        (_corrupt("method", "SET"), "method"),
        (_corrupt("total_steps", 99), "total_steps"),
        (_corrupt("version", 0), "version"),
        (_corrupt("step", -1), "step"),
        (_corrupt("reallocations", 1.5), "reallocations"),
        (_corrupt("reallocations", 2**63), "reallocations"),
        (_corrupt("budget", 1), "budget"),
        (lambda s: s.update(budget=float(s["budget"])), "budget"),
        (lambda s: s["masks"].update(ghost=torch.zeros(1, dtype=torch.uint8)), "ghost"),
        (_corrupt("threshold", 0.5), "threshold"),
        (_corrupt("moved", torch.zeros(2)), "moved"),
        (_corrupt("masks", {}), "0.weight"),
        (lambda s: s["masks"].update({"0.weight": torch.zeros(3)}), "0.weight"),
        (lambda s: s["masks"]["2.weight"].fill_(255), "budget"),
        (
            lambda s: s["options"].update(sparsity=0.1, period=9),
            r"state: options\.sparsity is 0\.1 there and 0\.8 here, options\.period is 9 there and "
            "3 here; resume",
        ),
        (lambda s: s["options"].pop("sparsity"), "options"),
        (lambda s: s["shapes"].pop("0.weight"), "shapes"),
    ],
)
def test_a_malformed_state_is_refused_and_nothing_changes(change, names):
    parts = start("dsr", "momentum", "mlp")
    go(parts, 7, 0)
    before = pickle.loads(pickle.dumps(final(parts)))
    state = pickle.loads(pickle.dumps(parts["sparse"].state_dict()))
    change(state)
    with pytest.raises(ValueError, match=names):
        parts["sparse"].load_state_dict(state)
    with pytest.raises(ValueError, match="keys"):
        parts["sparse"].load_state_dict(None)
    assert_same(final(parts), before)


def test_bits_beyond_the_last_weight_are_refused():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 3)
    sparse = dsr.sparsify(model, dsr.Static(0.5))
    state = sparse.state_dict()
    state["masks"]["weight"][1] |= 128
    with pytest.raises(ValueError, match="beyond"):
        sparse.load_state_dict(state)
