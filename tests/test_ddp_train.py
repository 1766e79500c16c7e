"""`dsr train` under torchrun: killed, restarted, and the same bits as a run that was not."""

import json
from concurrent.futures import ThreadPoolExecutor

import ddp_train
import pytest
from ddp_launch import TESTS, launched_once, torchrun, values
from torch import distributed

from dsr.cli import main
from dsr.experiments import RunConfig
from dsr.experiments.ranks import _unused_store, local_device


@pytest.fixture
def pair(tmp_path_factory):
    return launched_once(tmp_path_factory, 2, "pair")


def rows(path, name):
    found = [json.loads(line) for line in (path / name).read_text().splitlines()]
    for row in found:
        row.pop("seconds", None)
    return found


def assert_same_run(path, expected):
    for name in ("metrics.jsonl", "layers.jsonl"):
        assert rows(path, name) == rows(expected, name)
    for name in ("config.json", "checkpoints/step-000000000104"):
        files = [path / name] if (path / name).is_file() else sorted((path / name).iterdir())
        for file in files:
            assert file.read_bytes() == (expected / file.relative_to(path)).read_bytes(), file
    assert (path / "summary.json").exists()


def test_after_a_rank_is_killed_all_are_restarted_and_end_with_the_same_bits(pair, tmp_path):
    straight = pair[0] / "straight"
    path = tmp_path / "run"
    flags = ["--epochs", ddp_train.EPOCHS, "--sparsity", 0.95, "-o", "period=3", "--device", "cpu"]
    every = ["--checkpoint-every", ddp_train.EVERY]
    script = TESTS / "ddp_train_killed.py"
    result = torchrun(2, script, "train", "--out", path, *flags, *every, restarts=3)
    assert result.returncode == 0, result.stderr
    for rank in (1, 0):
        assert f"failed (exitcode: -9) local_rank: {rank}" in result.stderr
    assert result.stdout.count("test accuracy") == 1
    assert json.loads((path / "config.json").read_text())["world_size"] == 2
    assert_same_run(path, straight)


@pytest.mark.parametrize(("processes", "suite"), [(2, "pair"), (4, "many")])
def test_a_resumed_run_has_the_same_bits(processes, suite, tmp_path_factory):
    folder, reports = launched_once(tmp_path_factory, processes, suite)
    values(reports, "check_resumed_run")
    assert_same_run(folder / "resumed", folder / "straight")


@pytest.mark.parametrize(("processes", "suite"), [(2, "pair"), (4, "many")])
def test_every_rank_returns_what_rank_0_wrote(processes, suite, tmp_path_factory):
    folder, reports = launched_once(tmp_path_factory, processes, suite)
    for seen, nonzeros in values(reports, "check_straight_run"):
        assert seen == rows(folder / "straight", "metrics.jsonl")
        assert nonzeros == 2510
    assert len(set(values(reports, "check_calibrated_run"))) == 1


def test_another_number_of_ranks_is_another_run(pair, capsys):
    assert main(["train", "--out", str(pair[0] / "straight"), "--resume"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("dsr: torchrun --nproc-per-node: expected 2, as in")
    assert error.endswith("got 1\n")


def test_a_restart_finds_nothing_that_earlier_processes_left_in_the_store(monkeypatch):
    kept = distributed.HashStore()
    monkeypatch.setattr(distributed, "rendezvous", lambda url: iter([(kept, 0, 0)]))
    kept.set("dsr/ask/2", "a word of a process that is gone")
    for start in ("first", "second"):
        with ThreadPoolExecutor(3) as pool:
            stores = list(pool.map(lambda number: _unused_store(number, 3), range(3)))
        assert not stores[1].check(["address"])
        stores[0].set("address", start)
        assert [store.get("address").decode() for store in stores] == [start] * 3


def test_compare_is_not_for_torchrun(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["compare", "--out", str(tmp_path / "runs")]) == 2
    assert "run it without torchrun" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_several_ranks_take_the_gpu_of_their_number(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", "3")
    config = RunConfig(world_size=4)
    assert config.device == "cuda"
    assert str(local_device(config.device)) == "cuda:3"
