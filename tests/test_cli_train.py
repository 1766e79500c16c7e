"""What ``dsr`` writes and prints when all is well."""

import json
import re
import subprocess
import sys

import pytest

import dsr_kernels
from dsr.cli import main

ROW_KEYS = [
    "epoch",
    "step",
    "train_loss",
    "test_accuracy",
    "nonzeros",
    "sparsity",
    "threshold",
    "pruned",
    "grown",
    "churn",
    "explored",
    "seconds",
]
SUMMARY_KEYS = [
    "test_accuracy",
    "nonzeros",
    "sparsity",
    "churn",
    "explored",
    "distribution",
    "seconds",
    "seed",
    "versions",
]
EXTRAS = ("matplotlib", "pandas", "rich", "safetensors", "sklearn", "tensorboard", "typer")


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    path = tmp_path_factory.mktemp("train") / "run"
    flags = "--sparsity 0.95 --epochs 4 --seed 3 -o period=7 -o stop=none --tensorboard"
    assert main(["train", "--out", str(path), *flags.split()]) == 0
    return path


def test_config_names_every_setting(out):
    config = json.loads((out / "config.json").read_text())
    options = config.pop("options")
    assert config == {
        "data": "digits",
        "model": "lenet-300-100",
        "method": "dsr",
        "sparsity": 0.95,
        "distribution": "uniform",
        "epochs": 4,
        "batch_size": 100,
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "l1": 1e-4,
        "init": "default",
        "seed": 3,
        "device": config["device"],
        "world_size": 1,
        "masks_from": None,
        "structure": None,
        "weights": None,
        "dense_from": None,
    }
    assert config["device"] in ("cpu", "cuda:0")
    assert (options["period"], options["stop"], options["prune_count"]) == (7, None, None)


def test_metrics_have_a_row_an_epoch(out):
    found = rows(out / "metrics.jsonl")
    assert [list(row) for row in found] == [ROW_KEYS] * 4
    assert [row["epoch"] for row in found] == [1, 2, 3, 4]
    assert [row["step"] for row in found] == [13, 26, 39, 52]
    assert {row["nonzeros"] for row in found} == {2510}
    assert all(row["pruned"] == row["grown"] for row in found)
    assert sum(row["pruned"] for row in found) > 0
    assert all(row["threshold"] > 0 for row in found)
    assert found[-1]["train_loss"] < found[0]["train_loss"]
    assert 0.5 < found[-1]["test_accuracy"] <= 1


def test_layer_history_starts_before_training(out):
    found = rows(out / "layers.jsonl")
    assert [row["epoch"] for row in found] == [0, 1, 2, 3, 4]
    assert set(found[0]["layers"].values()) == {0.95}
    assert found[-1]["layers"] != found[0]["layers"]


def test_summary_repeats_the_last_row(out):
    summary = json.loads((out / "summary.json").read_text())
    found = rows(out / "metrics.jsonl")
    assert list(summary) == SUMMARY_KEYS
    for key in ("test_accuracy", "nonzeros", "sparsity"):
        assert summary[key] == found[-1][key]
    assert summary["seconds"] == pytest.approx(sum(row["seconds"] for row in found))
    assert (summary["distribution"], summary["seed"]) == ("uniform", 3)
    assert summary["versions"]["dsr_kernels"] == dsr_kernels.__version__


def test_other_files(out):
    assert (out / "layers.png").read_bytes().startswith(b"\x89PNG")
    assert [entry.name for entry in (out / "checkpoints").iterdir()] == ["step-000000000052"]
    assert any((out / "tensorboard").glob("events.*"))
    assert not list(out.rglob(".*"))


def test_resume_of_a_finished_run_says_so(out, capsys):
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert main(["train", "--out", str(out), "--resume", "--lr", "0.1", "-o", "period=7"]) == 0
    captured = capsys.readouterr()
    assert "finished already" in captured.out
    assert "test accuracy" in captured.out
    assert captured.err == ""
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_the_output_is_a_table(tmp_path, capsys):
    flags = "--method dense --epochs 1 --l1 0"
    assert main(["train", "--out", str(tmp_path / "run"), *flags.split()]) == 0
    text = capsys.readouterr().out
    assert "dense on digits" in text
    assert "50,200" in text
    row = rows(tmp_path / "run" / "metrics.jsonl")[0]
    assert (row["sparsity"], row["threshold"], row["pruned"]) == (0.0, None, 0)


def test_a_diverged_run_fails_with_one_line(tmp_path, capsys):
    flags = "--epochs 2 --lr 1e30 --l1 0"
    assert main(["train", "--out", str(tmp_path / "run"), *flags.split()]) == 1
    err = capsys.readouterr().err
    assert err.startswith("dsr: training diverged in epoch 1")
    assert err.count("\n") == 1
    assert not (tmp_path / "run" / "summary.json").exists()


def test_methods_are_listed(capsys):
    assert main(["methods"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("dense", "dsr", "set", "static"))


def test_a_method_is_described(capsys):
    assert main(["methods", "dsr"]) == 0
    text = capsys.readouterr().out
    assert "Mostafa" in text
    assert "prune_count" in text
    assert "int | None" in text
    assert "0.02" in text


def test_help_and_version(capsys):
    assert main([]) == 0
    assert "train" in capsys.readouterr().out
    assert main(["train", "--help"]) == 0
    assert "--batch-size" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert dsr_kernels.__version__ in capsys.readouterr().out


@pytest.mark.parametrize("command", [[], ["train"], ["compare"], ["methods"]])
def test_help_shows_flags_as_they_are_typed(command, capsys):
    assert main([*command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "--help" in text
    assert not re.search(r"bool|BOOL|\(None\)", text)


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_a_missing_extra_says_what_to_install(missing, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("dsr.cli.")]:
        if name != "dsr.cli.errors":
            monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["methods"]) == 1
    err = capsys.readouterr().err
    assert err.endswith(f"{missing} is not installed: pip install 'dsr-kernels[train]'\n")
    assert err.count("\n") == 1


def test_the_library_imports_without_extras():
    block = "import sys; sys.modules.update(dict.fromkeys(sys.argv[1:]));"
    code = block + "import dsr, dsr.models, dsr.data, dsr.plots, dsr.experiments, dsr.cli"
    result = subprocess.run(
        [sys.executable, "-c", code, *EXTRAS], capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    assert result.returncode == 0
