"""The benchmarks' command line, what it writes, and what it does with a provider that fails."""

import csv
import json
from dataclasses import replace

import pytest
import torch

from benchmarks import report, run, timing
from benchmarks.baselines import authors
from benchmarks.case import Case, Provider, WrongResultError
from benchmarks.registry import OPS
from benchmarks.shapes import Net

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def case_of(*providers):
    copy = Provider("copy", "copy", lambda: None)
    return Case("op", "net", 0.9, 100, 4000, (*providers, copy))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--ops", "prune_threshold"], "--ops"),
        (["--nets", "resnet50,vgg"], "'vgg'"),
        (["--sparsity", "0.9,1"], "--sparsity"),
        (["--sparsity", "0"], "--sparsity"),
        (["--out", "/dev/null/folder"], "--out"),
        (["--sparsity", "high"], "--sparsity"),
        (["--seconds", "0"], "--seconds"),
        (["--device", "tpu"], "--device"),
        (["--fast"], "--fast"),
    ],
)
def test_a_wrong_argument_gives_one_line_and_exit_code_2(arguments, named, capsys):
    with pytest.raises(SystemExit) as exit_:
        run.main(arguments)
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert named in error
    assert error.count("\n") == 1


def test_a_run_writes_a_csv_an_op_a_picture_and_where_it_ran(tmp_path, capsys):
    ops = "allocate_growth,kth_magnitude"
    arguments = ["--ops", ops, "--nets", "lenet-300-100", "--sparsity", ".9,.5"]
    assert run.main([*arguments, "--seconds", "1e-6", "--out", str(tmp_path)]) == 0
    names = {"allocate_growth.csv", "kth_magnitude.csv", report.MACHINE, run.PICTURE}
    assert {path.name for path in tmp_path.iterdir()} == names
    rows = list(csv.DictReader((tmp_path / "kth_magnitude.csv").open(newline="")))
    assert {row["sparsity"] for row in rows} == {"0.9", "0.5"}
    assert {row["kind"] for row in rows} == {"ours", "eager", "copy"}
    assert all(float(row["median_us"]) > 0 and not row["error"] for row in rows)
    machine = json.loads((tmp_path / report.MACHINE).read_text())
    assert machine["threads"] == torch.get_num_threads()
    assert ops in machine["command"]
    assert "kthvalue, flat" in capsys.readouterr().out


def test_nothing_is_appended_to_a_file_of_another_format(tmp_path, capsys):
    arguments = ["--ops", "allocate_growth", "--nets", "lenet-300-100", "--seconds", "1e-6"]
    arguments += ["--out", str(tmp_path), "--append"]
    assert run.main(arguments) == 0
    assert run.main(arguments) == 0
    path = tmp_path / "allocate_growth.csv"
    once = len(list(csv.DictReader(path.open(newline=""))))
    assert once == 6
    path.write_text(path.read_text().replace("speedup_low", "other", 1))
    before = path.read_text()
    with pytest.raises(SystemExit) as exit_:
        run.main(arguments)
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert "allocate_growth.csv: its columns differ ('speedup_low')" in error
    assert error.count("\n") == 1
    assert path.read_text() == before


def test_without_out_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run.main(["--ops", "allocate_growth", "--nets", "lenet-300-100", "--seconds", "1e-6"])
    assert "NumPy" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_provider_that_cannot_run_is_a_row_that_says_so(capsys):
    def fail():
        raise RuntimeError("no compiler\nfound")

    case = case_of(Provider("dsr", "ours", lambda: None), Provider("other", "eager", fail))
    rows = report.rows_of(case, timing.time_case(case, 1e-6, CPU))
    assert [row["error"] for row in rows] == ["", "RuntimeError: no compiler", ""]
    assert "median_us" not in rows[1]
    assert rows[1]["calls"] == 0
    report.print_rows(rows)
    assert "cannot run: RuntimeError: no compiler" in capsys.readouterr().out


def test_a_provider_that_fails_later_is_a_row_that_says_so():
    calls = []

    def fail_later():
        calls.append(1)
        if len(calls) > 1:
            raise torch.OutOfMemoryError("no memory left")

    case = case_of(Provider("dsr", "ours", lambda: None), Provider("other", "eager", fail_later))
    _, failed, copy = report.rows_of(case, timing.time_case(case, 1e-6, CPU))
    assert failed["error"] == "OutOfMemoryError: no memory left"
    assert "median_us" not in failed
    assert len(calls) == 2
    assert not copy["error"]


def test_a_case_that_does_not_fit_is_left_out(tmp_path, monkeypatch, capsys):
    def build(shapes, sparsity, device):
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setitem(OPS, "allocate_growth", replace(OPS["allocate_growth"], build=build))
    arguments = ["--ops", "allocate_growth", "--nets", "lenet-300-100", "--out", str(tmp_path)]
    assert run.main(arguments) == 0
    out = capsys.readouterr().out
    assert "lenet-300-100, sparsity 0.9: cannot run: OutOfMemoryError: no memory left" in out


def test_a_provider_whose_result_is_wrong_is_not_timed():
    def check(result):
        raise WrongResultError(f"got {result}")

    case = case_of(Provider("dsr", "ours", lambda: 3, check=check))
    wrong, copy = timing.time_case(case, 1e-6, CPU)
    assert wrong.error == "WrongResultError: got 3"
    assert not wrong.seconds
    assert len(copy.seconds) >= timing.MIN_CALLS
    assert "speedup" not in report.rows_of(case, [wrong, copy])[1]


def test_what_a_call_changed_is_put_back_before_the_next():
    state = []

    def call():
        assert not state, "called again on what the last call left"
        state.append(1)

    case = case_of(Provider("dsr", "ours", call, state.clear, lambda result: None))
    measurement, _ = timing.time_case(case, 1e-6, CPU)
    assert len(measurement.seconds) >= timing.MIN_CALLS
    assert not state


def test_a_provider_refuses_a_net_that_would_take_minutes(capsys):
    def never():
        raise AssertionError("called")

    slow = Provider("authors' way", "authors", never, never, most_weights=999)
    case = case_of(Provider("dsr", "ours", lambda: None), slow)  # 4000 bytes, 1000 weights
    _, refused, _ = report.rows_of(case, timing.time_case(case, 1e-6, CPU))
    assert refused["error"] == "not timed above 999 weights: its host takes minutes a call"
    assert "median_us" not in refused
    allowed = case_of(replace(slow, run=lambda: None, restore=None, most_weights=1000))
    assert not report.rows_of(allowed, timing.time_case(allowed, 1e-6, CPU))[0]["error"]


@pytest.mark.parametrize("op", ["grow_random_", "dsr_step"])
def test_the_host_programs_of_the_authors_refuse_large_nets(op):
    tiny = Net("tiny", (400,), (40,), moved=6)
    providers = OPS[op].build(tiny, 0.9, CPU).providers
    limits = {p.most_weights for p in providers if p.kind == "authors"}
    assert limits == {authors.MOST_WEIGHTS}
    assert {p.most_weights for p in providers if p.kind != "authors"} == {None}


def test_a_very_slow_provider_is_called_once(monkeypatch):
    monkeypatch.setattr(timing, "SLOW_SECONDS", -1.0)
    calls = []
    case = case_of(
        Provider("dsr", "ours", lambda: calls.append(1)),
        Provider("other", "compiled", lambda: None),
    )
    slow, compiled, _ = timing.time_case(case, 1e-6, CPU)
    assert len(calls) == len(slow.seconds) == 1
    assert len(compiled.seconds) == 1  # of its second call: the first has compiled


def test_rows_relate_times_to_ours_and_to_the_copy():
    case = case_of(Provider("dsr", "ours", lambda: None), Provider("other", "eager", lambda: None))
    seconds = ([0.004, 0.002, 0.003], [0.006, 0.006, 0.012], [0.008] * 3)
    measurements = [
        timing.Measurement(provider, times)
        for provider, times in zip(case.providers, seconds, strict=True)
    ]
    ours, other, copy = report.rows_of(case, measurements)
    assert [row["median_us"] for row in (ours, other, copy)] == [3000, 6000, 8000]
    assert [row["speedup"] for row in (ours, other)] == [1, 2]
    assert [row["bytes"] for row in (ours, other, copy)] == [100, 100, 8000]
    assert [row["speedup_low"] for row in (ours, other)] == [1, 1.5]
    assert [row["speedup_high"] for row in (ours, other)] == [1, 6]
    assert "graph_speedup" not in other
    # 100 of the copy's 8000 bytes would take a 80th of its 8 ms.
    assert ours["of_copy"] == round(0.1 / 3, 4)
    assert copy["of_copy"] == 1
