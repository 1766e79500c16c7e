"""Table 3's program: what it times, what it writes, and what it does with what cannot run."""

import csv
import importlib.util
import json
import time
from dataclasses import replace

import pytest
import torch
from torch import nn

import dsr
from benchmarks.table3 import __main__ as table3
from benchmarks.table3 import measure, methods, paired, training
from benchmarks.table3.text import table3_text

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
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def setting(monkeypatch):
    wrn = methods.SETTINGS["wrn-28-2"]
    small = replace(wrn, model=Small, classes=3, cpu_image=8, cpu_batch=2, moved=5)
    monkeypatch.setitem(methods.SETTINGS, "wrn-28-2", small)
    monkeypatch.setattr(training, "LEARNING_RATE", 0.1)  # DeepR waits for signs to change
    monkeypatch.setattr(dsr.models, "sparse_layers", lambda model: ["conv2.weight", "fc.weight"])
    return small


def inactive(one):
    if isinstance(one, training.Authors):
        return [mask == 0 for mask in one.method.masks]
    return [~mask.view(-1) for mask in one.sparse.masks().values()]


@pytest.mark.parametrize("method", methods.METHODS)
@pytest.mark.parametrize("implementation", ["ours", "authors"])
def test_masks_move_where_they_shall_and_the_budget_stays(method, implementation, setting):
    still = training.training(implementation, setting, CPU, method, None)
    moving = training.training(implementation, setting, CPU, method, 1 if method == "deepr" else 3)
    for one, moves in ((still, False), (moving, True)):
        before = inactive(one)
        for _ in range(12):
            one.step()
        after = inactive(one)
        assert moves != all(map(torch.equal, before, after))
        weights = [one.model.conv2.weight, one.model.fc.weight]
        for weight, zero in zip(weights, after, strict=True):
            assert not weight.detach().view(-1)[zero].any()


def test_it_writes_rows_a_picture_and_where_it_ran(setting, tmp_path, capsys):
    arguments = ["--nets", "wrn-28-2", "--methods", "dsr,deepr", "--blocks", "2", "--steps", "2"]
    assert table3.main([*arguments, "--out", str(tmp_path)]) == 0
    rows = list(csv.DictReader((tmp_path / table3.CSV).open(newline="")))
    named = [(row["method"], row["implementation"]) for row in rows]
    assert named == [(m, i) for m in ("dsr", "deepr") for i in ("ours", "authors")]
    for row in rows:
        assert not row["error"]
        assert float(row["ratio_low"]) <= float(row["ratio"]) <= float(row["ratio_high"])
        assert float(row["step_ms"]) > 0
        assert row["batch"] == "2"
    assert rows[0]["paper_ratio"] == "1.083"
    text = table3_text(rows)
    assert "| WRN-28-2 | DSR | ours |" in text
    assert (tmp_path / table3.PICTURE).exists()
    assert "table3" in json.loads((tmp_path / "table3_machine.json").read_text())["command"]
    assert "on a CPU" in capsys.readouterr().out


def test_a_row_keeps_to_its_seconds_and_says_what_it_ran(setting, tmp_path, monkeypatch):
    monkeypatch.setattr(setting.model, "forward", slow_forward(setting.model.forward))
    arguments = ["--nets", "wrn-28-2", "--methods", "dsr,deepr", "--implementations", "ours"]
    arguments += ["--blocks", "500", "--steps", "3", "--out", str(tmp_path)]
    assert table3.main([*arguments, "--seconds", "2"]) == 0
    first = [*csv.DictReader((tmp_path / table3.CSV).open(newline=""))]
    assert table3.main([*arguments, "--seconds", "1e-6", "--append"]) == 0
    rows = first + list(csv.DictReader((tmp_path / table3.CSV).open(newline="")))
    assert all(2 <= int(row["blocks"]) < 500 and not row["error"] for row in rows)
    assert [row["steps"] for row in rows] == ["3", "3", "3", "1"]
    assert [row["blocks"] for row in rows[2:]] == ["2", "2"]
    machine = json.loads((tmp_path / table3.MACHINE).read_text())
    assert machine["command"].count("python -m benchmarks.table3") == 2


def test_a_row_that_is_cut_off_says_so_and_is_measured_again(setting, tmp_path, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    arguments = ["--nets", "wrn-28-2", "--methods", "set", "--implementations", "ours"]
    arguments += ["--blocks", "2", "--steps", "2", "--append", "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(table3, "measure", killed)
        with pytest.raises(KeyboardInterrupt):
            table3.main(arguments)
    (row,) = csv.DictReader((tmp_path / table3.CSV).open(newline=""))
    assert row["error"] == table3.CUT_OFF
    assert "| cannot run: cut off before it had ended |" in table3_text([row])
    assert table3.main(arguments) == 0
    (row,) = csv.DictReader((tmp_path / table3.CSV).open(newline=""))
    assert not row["error"]


def slow_forward(forward):
    def slow(*args):
        time.sleep(0.005)
        return forward(*args)

    return slow


def test_a_package_that_is_missing_is_a_row_that_says_so(setting, capsys):
    arguments = ["--nets", "wrn-28-2", "--methods", "dsr,rigl", "--blocks", "2", "--steps", "2"]
    assert table3.main([*arguments, "--implementations", "rigl-torch"]) == 0
    out = capsys.readouterr().out.splitlines()[1:]
    assert len(out) == 1  # RigL is all it has
    installed = importlib.util.find_spec("rigl_torch") is not None
    assert ("step" if installed else "cannot run: ModuleNotFoundError") in out[0]


def test_what_cannot_run_is_a_row_that_says_so(setting, monkeypatch, capsys):
    def fail(*args):
        raise RuntimeError("no such kernel\nmore")

    monkeypatch.setattr(measure, "paired_blocks", fail)
    assert table3.main(["--nets", "wrn-28-2", "--methods", "set", "--blocks", "2"]) == 0
    assert capsys.readouterr().out.count("cannot run: RuntimeError: no such kernel\n") == 2


@pytest.mark.parametrize(("name", "text"), [(table3.CSV, "net\n"), (table3.MACHINE, "{}")])
def test_nothing_is_appended_to_results_of_another_format(name, text, tmp_path, capsys):
    (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit) as exit_:
        table3.main(["--append", "--nets", "wrn-28-2", "--out", str(tmp_path)])
    error = capsys.readouterr().err.splitlines()
    assert exit_.value.code == 2
    assert len(error) == 1
    assert f"--append: {tmp_path / name}: expected a" in error[0]
    assert (tmp_path / name).read_text() == text


def test_the_table_shows_memory_intervals_and_what_was_asked():
    row = dict.fromkeys(table3.COLUMNS, "") | {"net": "resnet50", "method": "dsr", "steps": "20"}
    row |= {"implementation": "ours", "image": "224", "batch": "256", "step_ms": "250.0"}
    for name, value in (("of_dense", 1.01), ("ratio", 1.0004)):
        row |= {
            f"{name}{end}": str(value + d) for end, d in (("", 0), ("_low", -1e-3), ("_high", 1))
        }
    row |= {"overhead": "2e-4", "reallocation_ms": "0.1", "peak_mib": "2100", "blocks": "5"}
    row["dense_peak_mib"] = "2000"
    text = table3_text([row, row | {"blocks": "7", "method": "rigl"}])
    assert "| 1.010 [1.009, 2.010] | 2100, 1.050 |" in text
    assert "| 1.0001: missed, interval at 1.001: met |" in text
    assert "5 to 7 pairs of blocks of 20 steps" in text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--device", "tpu"], "--device"),
        (["--device", "cuda"], "no CUDA device"),
        (["--nets", "vgg"], "'vgg'"),
        (["--methods", "dsr,adam"], "'adam'"),
        (["--implementations", "theirs"], "'theirs'"),
        (["--blocks", "1"], "--blocks"),
        (["--blocks", "many"], "--blocks"),
        (["--out", "/dev/null/folder"], "--out"),
        (["--steps", "0"], "--steps"),
    ],
)
def test_a_wrong_argument_gives_one_line_and_exit_code_2(arguments, named, capsys):
    with pytest.raises(SystemExit) as exit_:
        table3.main(arguments)
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert named in error
    assert error.count("\n") == 1


def test_the_interval_is_students():
    values = [1.0, 2.0, 3.0, 4.0]
    found = paired.interval(values)
    assert found.mean == 2.5
    assert found.high - found.mean == pytest.approx(3.182 * 1.2909944 / 2, rel=1e-5)
