"""Bad input gives one clear line on stderr, exit code 2, and nothing is written."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from dsr.cli import main
from dsr.experiments import RunConfig, run

# Arguments and what the line must name: the flag first, then what came or was meant.
TRAIN = [
    ("--method dsrr", "--method:", "'dsrr' (did you mean 'dsr'?)"),
    ("--method ''", "--method:", "expected one of"),
    ("--model lenet-300-10", "--model:", "did you mean 'lenet-300-100'?"),
    ("--data digit", "--data:", "did you mean 'digits'?"),
    ("--distribution unifrom", "--distribution:", "did you mean 'uniform'?"),
    ("--sparsity 1.2", "--sparsity:", "1.2"),
    ("--sparsity 1", "--sparsity:", "1"),
    ("--sparsity -0.1", "--sparsity:", "-0.1"),
    ("--sparsity nan", "--sparsity:", "nan"),
    ("--sparsity half", "--sparsity:", "expected a number, got 'half'"),
    ("--method dense --sparsity 0.5", "--sparsity:", "'dense' has none"),
    ("--method snip --distribution erdos-renyi", "--distribution:", "'snip' draws no masks"),
    ("--epochs -1", "--epochs:", "-1"),
    ("--epochs 0", "--epochs:", "expected an integer of at least 1, got 0"),
    ("--epochs 1.5", "--epochs:", "expected an integer, got '1.5'"),
    ("--batch-size 0", "--batch-size:", "0"),
    ("--batch-size 1", "--batch-size:", "at least 2"),
    ("--lr 0", "--lr:", "above 0"),
    ("--lr inf", "--lr:", "inf"),
    ("--lr 0,1", "--lr:", "expected a number, got '0,1'"),
    ("--momentum 1", "--momentum:", "[0, 1)"),
    ("--weight-decay -1e-4", "--weight-decay:", "-0.0001"),
    ("--l1 -1", "--l1:", "-1"),
    ("--l1 nan", "--l1:", "nan"),
    ("--seed -1", "--seed:", "-1"),
    ("--seed 4294967296", "--seed:", "4294967296"),
    ("--device cuda:99", "--device:", "'cuda:99'"),
    ("--device cuda", "--device:", "no CUDA device here"),
    ("--device gpu", "--device:", "expected auto, cpu, cuda or cuda:INDEX, got 'gpu'"),
    ("--checkpoint-every 0", "--checkpoint-every:", "0"),
    ("-o prune_cuont=600", "-o:", "did you mean 'prune_count'?"),
    ("-o prune_count", "-o:", "expected name=value, got 'prune_count'"),
    ("-o prune_count=many", "-o prune_count:", "expected an integer or none, got 'many'"),
    ("-o prune_count=1.5", "-o prune_count:", "'1.5'"),
    ("-o prune_count=0", "-o prune_count:", "0"),
    ("-o tolerance=nan", "-o tolerance:", "expected a finite number, got 'nan'"),
    ("--method rigl -o decay=cosin", "-o decay:", "'cosin'"),
    ("--method deepr -o temperatures=1,x", "-o temperatures:", "numbers separated by commas"),
    ("--method deepr -o temperatures=1,2", "-o temperature_starts:", "one for each of 2"),
    ("--init ones", "--init:", "expected one of default, rescaled, got 'ones'"),
    ("-o keep_state=yes", "-o keep_state:", "expected true or false, got 'yes'"),
    ("-o period=5 -o period=6", "-o period:", "twice"),
    ("-o sparsity=0.5", "-o:", "use --sparsity"),
    ("--method snip -o period=5", "-o:", "this method has none"),
    ("--epoch 3", "No such option: --epoch", "--epochs"),
    ("--resume", "--out:", "expected the folder of a run to resume"),
]
COMPARE = [
    ("--methods dsr,sett", "--methods:", "did you mean 'set'?"),
    ("--methods ,", "--methods:", "','"),
    ("--methods dsr,dsr", "--methods:", "'dsr' twice"),
    ("--sparsity .9,1.2", "--sparsity:", "1.2"),
    ("--sparsity .9,x", "--sparsity:", "'.9,x'"),
    ("--sparsity .9,nan", "--sparsity:", "nan"),
    ("--distribution uniform,erdos", "--distribution:", "'erdos'"),
    ("--seeds 4-0", "--seeds:", "'4-0'"),
    ("--seeds a", "--seeds:", "'a'"),
    ("--seeds -3", "--seeds:", "'-3'"),
    ("--seeds 0-", "--seeds:", "'0-'"),
    ("--seeds 1,1", "--seeds:", "1 twice"),
    ("--seeds 0-99999999", "--seeds:", "at most"),
    ("--seeds 9999999999", "--seeds:", "9999999999"),
    ("--jobs 0", "--jobs:", "0"),
    ("--checkpoint-every -1", "--checkpoint-every:", "-1"),
    ("--batch-size 0", "--batch-size:", "0"),
    ("--device cuda", "--device:", "no CUDA device here"),
    ("-o prune_count=6", "-o:", "expected METHOD.NAME=VALUE"),
    ("-o dssr.prune_count=6", "-o:", "did you mean 'dsr'?"),
    ("-o dense.l1=6", "-o:", "expected one of dsr, set, static"),
    ("-o dsr.prune_count=x", "-o dsr.prune_count:", "'x'"),
    ("-o dsr.prune_count=0", "-o dsr.prune_count:", "0"),
]


@pytest.fixture(autouse=True)
def _no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture(scope="module")
def half_run(tmp_path_factory):
    """A run stopped after its first checkpoint."""

    class StoppedError(Exception):
        pass

    def stop(row):
        if row["epoch"] == 2:
            raise StoppedError

    path = tmp_path_factory.mktemp("half") / "run"
    with pytest.raises(StoppedError):
        run(RunConfig(epochs=3), path, checkpoint_every=1, progress=stop)
    return path


def tree(path):
    return {
        str(entry.relative_to(path)): entry.read_bytes() if entry.is_file() else None
        for entry in path.rglob("*")
    }


def refused(arguments, folder, capsys):
    """Run, check that it was refused with one line and without a trace; return the line."""
    before = tree(folder)
    code = main(arguments)
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("dsr: ")
    assert tree(folder) == before
    return err.removeprefix("dsr: ").strip()


def split(text):
    return [part.strip("'") for part in text.split()]


@pytest.mark.parametrize(("arguments", "start", "rest"), TRAIN, ids=[case[0] for case in TRAIN])
def test_train(arguments, start, rest, tmp_path, capsys):
    line = refused(["train", "--out", str(tmp_path / "a"), *split(arguments)], tmp_path, capsys)
    assert line.startswith(start)
    assert rest in line


@pytest.mark.parametrize(("arguments", "start", "rest"), COMPARE, ids=[case[0] for case in COMPARE])
def test_compare(arguments, start, rest, tmp_path, capsys):
    line = refused(["compare", "--out", str(tmp_path / "a"), *split(arguments)], tmp_path, capsys)
    assert line.startswith(start)
    assert rest in line


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["train"], "Missing option '--out'"),
        (["trian"], "Did you mean 'train'?"),
        (["methods", "sset"], "got 'sset' (did you mean 'set'?)"),
        (["train", "--out"], "--out"),
    ],
)
def test_usage(arguments, text, tmp_path, capsys):
    assert text in refused(arguments, tmp_path, capsys)


@pytest.mark.parametrize("command", ["train", "compare"])
def test_places_that_cannot_be_written(command, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    cases = {
        tmp_path / "missing" / "run": "expected an existing parent folder",
        tmp_path / "file": "expected a folder, got the file",
        tmp_path / "file" / "run": "expected an existing parent folder",
        tmp_path / "full": "which holds 'mine.txt'",
        "/proc/dsr-run": "expected",  # refused by the kernel, even for root
    }
    for path, text in cases.items():
        line = refused([command, "--out", str(path)], tmp_path, capsys)
        assert line.startswith("--out: ")
        assert text in line


def test_a_folder_without_permission(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    assert "writable" in refused(["train", "--out", str(tmp_path / "run")], tmp_path, capsys)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("", "--out: expected a new folder"),
        ("--resume --lr 0.2", "--lr: expected 0.1, as in"),
        ("--resume --method set", "--method: expected 'dsr', as in"),
        ("--resume --epochs 9", "--epochs: expected 3, as in"),
        ("--resume -o prune_count=9", "-o prune_count: expected None, as in"),
        ("--resume -o prune_cuont=9", "-o: expected one of"),
    ],
)
def test_another_run_in_the_folder(arguments, text, half_run, capsys):
    command = ["train", "--out", str(half_run), *arguments.split()]
    assert refused(command, half_run, capsys).startswith(text)


def damage_checkpoints(path):
    for file in path.glob("checkpoints/step-*/tensors.safetensors"):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)


def truncate_checkpoints(path):
    for file in path.glob("checkpoints/step-*/*"):
        file.write_bytes(file.read_bytes()[:10])


def write(name, text):
    return lambda path: (path / name).write_text(text)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (damage_checkpoints, "--resume: "),
        (truncate_checkpoints, "--resume: "),
        (write("config.json", "{"), "--out: "),
        (write("config.json", "[]"), "--out: "),
        (write("config.json", '{"epochs": 3}'), "--out: "),
        (write("metrics.jsonl", ""), "--out: "),
        (write("metrics.jsonl", "{}\n" * 3), "--out: "),
        (write("layers.jsonl", "nonsense\n"), "--out: "),
        (write("summary.json", "{"), "--out: "),
        (write("summary.json", "{}"), "--out: "),
    ],
)
def test_damaged_files(damage, text, half_run, tmp_path, capsys):
    path = tmp_path / "run"
    shutil.copytree(half_run, path)
    damage(path)
    command = ["train", "--out", str(path), "--resume"]
    assert refused(command, tmp_path, capsys).startswith(text)


def test_in_a_process_of_its_own(tmp_path):
    for arguments in (["--sparsity", "1.2"], ["--epochs", "x"]):
        command = [sys.executable, "-m", "dsr", "train", "--out", str(tmp_path / "a"), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 2
        assert result.stdout == ""
        assert result.stderr.startswith(f"dsr: {arguments[0]}: expected")
        assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
