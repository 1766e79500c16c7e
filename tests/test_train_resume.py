"""Training 2N epochs equals training N, being killed, and resuming: bit for bit."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch

from dsr.checkpoints import Checkpoints
from dsr.cli import main
from dsr.experiments import RunConfig, Training, run
from dsr.experiments.recipe import deterministic
from dsr.methods import METHODS

EPOCHS, KILLED_IN = 8, 5
KILLED = """
import os, signal, sys
from dsr.experiments import RunConfig, run

def kill(row):
    if row["epoch"] == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

config = RunConfig(epochs=8, sparsity=0.95, options={"period": 3})
run(config, sys.argv[1], checkpoint_every=2, progress=kill)
"""


class KilledError(Exception):
    pass


def settings(method="dsr"):
    options = {"period": 3} if "period" in METHODS[method].__dataclass_fields__ else {}
    sparsity = None if method == "dense" else 0.95
    return RunConfig(epochs=EPOCHS, method=method, sparsity=sparsity, options=options)


def stop_in(epoch):
    def progress(row):
        if row["epoch"] == epoch:
            raise KilledError

    return progress


def rows(path, name="metrics.jsonl"):
    found = [json.loads(line) for line in (path / name).read_text().splitlines()]
    for row in found:
        row.pop("seconds", None)
    return found


def final_checkpoint(path):
    """The bytes of the last checkpoint: weights, masks, optimizer, threshold and counters."""
    last = max((path / "checkpoints").glob("step-*"))
    return {file.name: file.read_bytes() for file in last.iterdir()}


def assert_same_run(path, expected):
    assert rows(path) == rows(expected)
    assert rows(path, "layers.jsonl") == rows(expected, "layers.jsonl")
    assert final_checkpoint(path) == final_checkpoint(expected)
    summaries = [json.loads((p / "summary.json").read_text()) for p in (path, expected)]
    for summary in summaries:
        summary.pop("seconds")
    assert summaries[0] == summaries[1]


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    path = tmp_path_factory.mktemp("straight") / "dsr"
    run(settings(), path, checkpoint_every=2)
    return path


def test_a_run_moves_weights_before_and_after_the_kill(straight):
    moved = [row["pruned"] for row in rows(straight)]
    assert sum(moved[:KILLED_IN]) > 0
    assert sum(moved[KILLED_IN:]) > 0


def test_resume_after_sigkill_in_a_second_process(straight, tmp_path):
    path = tmp_path / "run"
    command = [sys.executable, "-c", KILLED, str(path), str(KILLED_IN)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    # The kill came between the row of epoch 5 and the checkpoint of epoch 6.
    assert len(rows(path)) == KILLED_IN
    assert [p.name for p in sorted((path / "checkpoints").iterdir())] == [
        "step-000000000026",
        "step-000000000052",
    ]
    command = [sys.executable, "-m", "dsr", "train", "--out", str(path), "--resume"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "test accuracy" in result.stdout
    assert_same_run(path, straight)


@pytest.mark.parametrize("killed_in", [1, 2, 3, 7])
def test_wherever_the_kill_comes(killed_in, straight, tmp_path):
    path = tmp_path / "run"
    with pytest.raises(KilledError):
        run(settings(), path, checkpoint_every=2, progress=stop_in(killed_in))
    run(settings(), path, checkpoint_every=2, resume=True)
    assert_same_run(path, straight)


def test_a_resumed_run_writes_what_it_was_started_to_write(tmp_path, monkeypatch):
    path, saved = tmp_path / "run", []
    monkeypatch.setattr(Checkpoints, "save", lambda self, step, **parts: saved.append(step // 13))
    with pytest.raises(KilledError):
        run(settings(), path, checkpoint_every=3, tensorboard=True, progress=stop_in(1))
    logs = set((path / "tensorboard").iterdir())
    assert main(["train", "--out", str(path), "--resume"]) == 0
    assert saved == [3, 6, 8]
    assert set((path / "tensorboard").iterdir()) > logs


def test_an_interval_given_on_resume_is_kept(tmp_path):
    path = tmp_path / "run"
    with pytest.raises(KilledError):
        run(settings(), path, progress=stop_in(1))
    Training(settings(), path, resume=True, checkpoint_every=5).start()
    Training(settings(), path, resume=True).start()
    assert Training(settings(), path, resume=True).saving.checkpoint_every == 5
    (path / "saving.json").unlink()
    assert Training(settings(), path, resume=True).saving.checkpoint_every == 10


@pytest.mark.parametrize(
    "text", ["{", '{"every": 3}', '{"checkpoint_every": 0}', '{"tensorboard": 1}']
)
def test_a_damaged_interval_is_refused(text, tmp_path):
    Training(settings(), tmp_path / "run").start()
    (tmp_path / "run" / "saving.json").write_text(text)
    with pytest.raises(ValueError, match=r"^out: .*saving\.json: "):
        Training(settings(), tmp_path / "run", resume=True)


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"dsr"}))
def test_other_methods(method, tmp_path):
    run(settings(method), tmp_path / "straight", checkpoint_every=4)
    with pytest.raises(KilledError):
        run(settings(method), tmp_path / "run", checkpoint_every=4, progress=stop_in(KILLED_IN))
    run(settings(method), tmp_path / "run", checkpoint_every=4, resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "straight")


def test_a_second_kill_a_torn_row_and_a_damaged_checkpoint(straight, tmp_path, capsys):
    path = tmp_path / "run"
    for killed_in in (3, 5):
        resume = path.exists()
        with pytest.raises(KilledError):
            run(settings(), path, checkpoint_every=1, resume=resume, progress=stop_in(killed_in))
        with (path / "metrics.jsonl").open("a") as file:
            file.write('{"epoch": 6, "st')
    latest = max((path / "checkpoints").glob("step-*"))
    (latest / "tensors.safetensors").write_bytes(b"")
    assert main(["train", "--out", str(path), "--resume"]) == 0
    assert capsys.readouterr().err.startswith("dsr: warning: ")
    assert_same_run(path, straight)


def test_killed_before_the_summary(straight, tmp_path, monkeypatch):
    def kill(*args):
        raise KilledError

    path = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("dsr.plots.plot_layers", kill)
        with pytest.raises(KilledError):
            run(settings(), path, checkpoint_every=2)
    assert not (path / "summary.json").exists()
    seen = []
    run(settings(), path, resume=True, progress=seen.append)
    assert seen == []
    assert_same_run(path, straight)


def test_a_finished_run_is_not_trained_again(straight):
    training = Training(settings(), straight, resume=True)
    seen = []
    summary = training.run(seen.append)
    assert seen == []
    assert summary.nonzeros == 2510


def test_a_run_without_a_folder_gives_the_same_numbers(straight):
    seen = []
    summary = run(settings(), progress=lambda row: seen.append(dict(row)))
    for row in seen:
        row.pop("seconds")
    assert seen == rows(straight)
    assert summary.test_accuracy == seen[-1]["test_accuracy"]


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing(threads, straight):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        losses = []
        run(settings(), progress=lambda row: losses.append(row["train_loss"]))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert losses == [row["train_loss"] for row in rows(straight)]


def test_global_random_state_is_neither_used_nor_changed(straight):
    torch.manual_seed(99)
    expected = torch.rand(3)
    torch.manual_seed(99)
    losses = []
    run(settings(), progress=lambda row: losses.append(row["train_loss"]))
    assert torch.equal(torch.rand(3), expected)
    assert losses == [row["train_loss"] for row in rows(straight)]


@pytest.mark.parametrize("before", [False, True])
def test_on_a_gpu_algorithms_are_deterministic_while_it_trains(before, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    torch.use_deterministic_algorithms(before)
    try:
        with deterministic(torch.device("cuda")):
            assert torch.are_deterministic_algorithms_enabled()
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"  # the user's choice stands
        assert torch.are_deterministic_algorithms_enabled() == before
    finally:
        torch.use_deterministic_algorithms(False)
