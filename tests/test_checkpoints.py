"""Saving and loading the parts of a training run, and what a failed write leaves behind."""

import logging
import math
import sys

import pytest
import torch
from torch.optim import lr_scheduler

from dsr.checkpoints import Checkpoints


def names(directory):
    return sorted(entry.name for entry in directory.iterdir())


def content(step):
    return {"weight": torch.full((3, 4), float(step)), "step": step}


def damage(directory, step, name="tensors.safetensors"):
    path = directory / f"step-{step:012d}" / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


class Run:
    """A small training run whose every part draws on its own kind of state."""

    def __init__(self, make_optimizer, make_scheduler):
        torch.manual_seed(0)
        conv = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        norm = torch.nn.BatchNorm2d(4)
        self.model = torch.nn.Sequential(conv, norm, torch.nn.Flatten(), torch.nn.Linear(16, 5))
        self.optimizer = make_optimizer(self.model.parameters())
        self.scheduler = make_scheduler(self.optimizer)
        self.scaler = torch.amp.GradScaler("cpu")
        self.extra = {}

    def parts(self):
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "scaler": self.scaler,
            "extra": self.extra,
        }

    def train(self, steps):
        for _ in range(steps):
            self.optimizer.zero_grad()
            loss = self.model(torch.randn(8, 3, 4, 4)).square().mean()
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            metric = [loss.item()] if hasattr(self.scheduler, "patience") else []
            self.scheduler.step(*metric)
        self.extra.update(rng=torch.get_rng_state(), loss=loss.item())


def sgd(params):
    return torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True)


def warm_cosine(optimizer):
    warm = lr_scheduler.LinearLR(optimizer, total_iters=4)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    return lr_scheduler.SequentialLR(optimizer, [warm, cosine], milestones=[4])


@pytest.mark.parametrize(
    ("make_optimizer", "make_scheduler"),
    [
        (sgd, lambda opt: lr_scheduler.MultiStepLR(opt, [3, 3, 7])),
        (sgd, lambda opt: lr_scheduler.ReduceLROnPlateau(opt, patience=1)),
        (sgd, lambda opt: lr_scheduler.LambdaLR(opt, lambda step: 0.9**step)),
        (lambda p: torch.optim.AdamW(p, amsgrad=True), warm_cosine),
        (
            lambda p: torch.optim.Adam(p, lr=torch.tensor(0.001), fused=True),
            lambda opt: lr_scheduler.ExponentialLR(opt, 0.9),
        ),
        (torch.optim.RMSprop, lambda opt: lr_scheduler.OneCycleLR(opt, 0.1, total_steps=20)),
        (sgd, lambda opt: lr_scheduler.CyclicLR(opt, 0.01, 0.1)),
    ],
)
def test_resumed_training_equals_uninterrupted_training(tmp_path, make_optimizer, make_scheduler):
    whole, first, second = (Run(make_optimizer, make_scheduler) for _ in range(3))
    torch.manual_seed(1)
    whole.train(10)
    torch.manual_seed(1)
    first.train(5)
    Checkpoints(tmp_path).save(5, **first.parts())
    torch.manual_seed(99)
    assert Checkpoints(tmp_path).load_latest(**second.parts()) == 5
    torch.set_rng_state(second.extra["rng"])
    second.train(5)
    for expected, got in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(expected, got)
        assert expected.stride() == got.stride()
    for buffer, other in zip(whole.model.buffers(), second.model.buffers(), strict=True):
        assert torch.equal(buffer, other)
    assert second.extra["loss"] == whole.extra["loss"]
    assert second.scheduler.get_last_lr() == whole.scheduler.get_last_lr()


def test_optimizer_state_wider_than_its_parameter_keeps_its_bits(tmp_path):
    weight = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    optimizer.state[weight].update(master=torch.full((3,), 1 / 3), count=torch.tensor([2**40 + 1]))
    Checkpoints(tmp_path).save(1, optimizer=optimizer)
    other = torch.optim.SGD([weight], lr=0.5)
    Checkpoints(tmp_path).load_latest(optimizer=other)
    assert other.param_groups[0]["lr"] == 0.1
    state = other.state[weight]
    assert state["master"].dtype == torch.float32
    assert torch.equal(state["master"], torch.full((3,), 1 / 3))
    assert state["count"].tolist() == [2**40 + 1]


def test_dict_parts_are_filled_in_place_and_tied_weights_load(tmp_path):
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 3), "b": torch.nn.Linear(3, 3)})
    model["b"].weight = model["a"].weight
    inner = {"best": math.inf, "seen": (1, 2), 7: torch.arange(3)}
    Checkpoints(tmp_path).save(0, model=model, progress=inner)
    progress = {"stale": 1}
    expected = model["a"].weight.detach().clone()
    with torch.no_grad():
        model["a"].weight.zero_()
    assert Checkpoints(tmp_path).load_latest(model=model, progress=progress) == 0
    assert list(progress) == ["best", "seen", 7]
    assert progress["best"] == math.inf
    assert progress["seen"] == (1, 2)
    assert progress[7].tolist() == [0, 1, 2]
    assert model["b"].weight is model["a"].weight
    assert torch.equal(model["b"].weight, expected)


def test_the_newest_are_kept(tmp_path):
    directory = tmp_path / "deep" / "run"
    checkpoints = Checkpoints(directory, keep=2)
    assert checkpoints.load_latest(state={}) is None
    for step in (1, 5, 20, 300):
        checkpoints.save(step, state=content(step))
    assert checkpoints.steps() == [20, 300]
    assert names(directory) == ["step-000000000020", "step-000000000300"]
    assert names(directory / "step-000000000300") == [
        "manifest.json",
        "state.json",
        "tensors.safetensors",
    ]
    assert len({path.stat().st_mode for path in (directory / "step-000000000300").iterdir()}) == 1


def test_a_damaged_checkpoint_is_skipped_then_replaced(tmp_path, caplog):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(3, state=content(3))
    Checkpoints(tmp_path, keep=2).save(4, state=content(4))
    damage(tmp_path, 4)
    state = {}
    with caplog.at_level(logging.WARNING):
        assert checkpoints.load_latest(state=state) == 3
    assert state["step"] == 3
    assert "skipping the checkpoint of step 4" in caplog.text
    assert "SHA-256" in caplog.text
    checkpoints.save(4, state=content(40))
    assert "replacing the checkpoint of step 4" in caplog.text
    assert checkpoints.load_latest(state=state) == 4
    assert state["step"] == 40
    assert checkpoints.steps() == [4]


def test_a_damaged_newer_checkpoint_never_costs_the_one_just_saved(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(10, state=content(10))
    damage(tmp_path, 10, "state.json")
    checkpoints.save(9, state=content(9))
    assert checkpoints.load_latest(state={}) == 9


def test_parts_must_match_and_nothing_is_loaded_otherwise(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, a={"x": 1}, b={"y": 2})
    a, b, c = {"old": 0}, {"old": 0}, {"old": 0}
    with pytest.raises(ValueError, match=r"^c: .* no such part, it has \['a', 'b'\]"):
        checkpoints.load_latest(a=a, b=b, c=c)
    with pytest.raises(ValueError, match=r"^b: .* pass it as b=\.\.\."):
        checkpoints.load_latest(a=a)
    with pytest.raises(TypeError, match=r"^b: expected a dict or an object with state_dict"):
        checkpoints.load_latest(a=a, b=3)
    assert a == b == c == {"old": 0}


def test_bad_arguments_are_refused_and_leave_no_trace(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state=content(1))
    with pytest.raises(ValueError, match="step: 1 is saved already"):
        checkpoints.save(1, state=content(1))
    for step in (-1, 10**12):
        with pytest.raises(ValueError, match="step: expected 0 to"):
            checkpoints.save(step, state={})
    for step in (1.0, True, "2"):
        with pytest.raises(TypeError, match="step: expected an int"):
            checkpoints.save(step, state={})
    with pytest.raises(ValueError, match="parts: expected at least one"):
        checkpoints.save(2)
    with pytest.raises(TypeError, match=r"state\.f: expected a tensor"):
        checkpoints.save(2, state={"f": print})
    with pytest.raises(TypeError, match="x: expected a dict or an object"):
        checkpoints.save(2, x=[1])
    with pytest.raises(ValueError, match="save long lists as tensors"):
        checkpoints.save(2, state={"text": "x" * 2**26})
    assert names(tmp_path) == ["step-000000000001"]
    with pytest.raises(ValueError, match="keep: expected at least 1, got 0"):
        Checkpoints(tmp_path, keep=0)
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match=r"directory: .*/file is a file; give a folder"):
            Checkpoints(path)


def test_a_missing_safetensors_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for call in (Checkpoints(tmp_path).load_latest, lambda: Checkpoints(tmp_path).save(1)):
        with pytest.raises(ImportError, match=r"pip install dsr-kernels\[train\]"):
            call()
