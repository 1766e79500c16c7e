"""The program that times a whole training step: what it trains, what it writes and says."""

import csv
import json
from dataclasses import replace

import pytest
import torch
from torch import nn

import dsr
from benchmarks import tables
from benchmarks import training_step as program
from benchmarks.table3 import methods

CPU = torch.device("cpu")


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.conv2 = nn.Conv2d(4, 32, 3)
        self.fc = nn.Linear(32, 3)

    def forward(self, x):
        return self.fc(self.conv2(self.conv1(x).relu()).mean((2, 3)))


@pytest.fixture(autouse=True)
def setting(monkeypatch):
    small = replace(methods.SETTINGS["wrn-28-2"], model=Small, classes=3, cpu_image=8, cpu_batch=2)
    monkeypatch.setitem(methods.SETTINGS, "wrn-28-2", small)
    monkeypatch.setattr(dsr.models, "sparse_layers", lambda model: ["conv2.weight", "fc.weight"])
    return small


@pytest.mark.parametrize("name", program.WAYS)
def test_every_way_trains_and_all_but_dense_stay_sparse(name, setting):
    training = program.WAYS[name](setting, CPU)
    before = [parameter.detach().clone() for parameter in training.model.parameters()]
    for _ in range(4):
        training.step()
    for old, new in zip(before, training.model.parameters(), strict=True):
        assert not torch.equal(old, new)
    zeros = [
        int((layer.weight == 0).sum()) / layer.weight.numel()
        for layer in (training.model.conv2, training.model.fc)
    ]
    assert all((0.5 < share < 1) == (name != "dense") for share in zeros)


def run(tmp_path, *more):
    arguments = ["--nets", "wrn-28-2", "--seconds", "0.01", "--out", str(tmp_path)]
    assert program.main([*arguments, *more]) == 0
    return list(csv.DictReader((tmp_path / program.CSV).open(newline="")))


def test_it_writes_a_row_a_way_and_appends_other_shapes(tmp_path, capsys):
    rows = run(tmp_path, "--batch", "3", "--image", "9")
    assert [row["way"] for row in rows] == list(program.WAYS)
    for row in rows:
        assert (row["batch"], row["image"], row["error"]) == ("3", "9", "")
        assert float(row["of_dense_low"]) <= float(row["of_dense"]) <= float(row["of_dense_high"])
        assert int(row["rounds"]) >= program.LEAST_ROUNDS
    assert float(rows[0]["of_dense"]) == 1
    assert "| WRN-28-2 | 3 x 9 x 9 | dsr.sparsify |" in capsys.readouterr().out
    more = run(tmp_path, "--batch", "2", "--image", "9", "--append")
    assert [row["batch"] for row in more] == ["3"] * 4 + ["2"] * 4
    again = run(tmp_path, "--batch", "3", "--image", "9", "--append")
    assert [row["batch"] for row in again] == ["2"] * 4 + ["3"] * 4
    machine = json.loads((tmp_path / program.MACHINE).read_text())
    assert machine["command"].count("python -m benchmarks.training_step") == 3


def test_a_way_that_cannot_run_is_a_row_that_says_so(tmp_path, monkeypatch):
    def broken(setting, device):
        raise ValueError("no such way\nmore")

    monkeypatch.setitem(program.WAYS, program.MULTIPLIED, broken)
    rows = run(tmp_path)
    assert rows[-1]["error"] == "ValueError: no such way"
    assert not rows[1]["of_multiplied"]
    text = program.text(rows, "cpu")
    assert "cannot run: ValueError: no such way" in text
    assert "below `w * mask`: open" in text


def row(low, middle, high):
    ratios = {"of_dense": middle, "of_dense_low": low, "of_dense_high": high}
    return {
        "net": "resnet50", "batch": "2", "image": "64", "way": program.OURS, "rounds": "9",
        "step_ms": "1.5", "of_multiplied": "0.9", "of_multiplied_low": "0.8",
        "of_multiplied_high": "0.99", "error": "", **{key: str(v) for key, v in ratios.items()},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [((1.0, 1.01, 1.029), "met"), ((1.0, 1.01, 1.05), "undecided"), ((1.04, 1.1, 1.2), "missed")],
)
def test_the_interval_decides(ratios, verdict):
    text = program.text([row(*ratios)], "cpu")
    assert f"| 1.03: {verdict}, below `w * mask`: met |" in text
    assert "1.02: missed" in program.text([row(1.03, 1.04, 1.05)], "cuda")


def test_the_docs_have_the_table(tmp_path):
    folder = tmp_path / "cpu"
    run(folder)
    made = tables.contents(tmp_path)["cpu training step"]()
    assert "by `python -m benchmarks.training_step --nets wrn-28-2" in made
    assert "| WRN-28-2 | 16 x 32 x 32 | w * mask |" in made


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--device", "tpu"], "--device"),
        (["--device", "cuda"], "no CUDA device"),
        (["--nets", "vgg"], "'vgg'"),
        (["--batch", "0"], "--batch"),
        (["--image", "-3"], "--image"),
        (["--seconds", "0"], "--seconds"),
    ],
)
def test_wrong_arguments_give_one_line(arguments, text, capsys):
    with pytest.raises(SystemExit) as raised:
        program.main(arguments)
    assert raised.value.code == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1
