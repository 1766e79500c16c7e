"""The profile's table and the pictures over size and sparsity."""

import csv

import pytest
import torch

from benchmarks import curves, profile, tables
from benchmarks.run import main as run


def test_a_profile_finds_what_took_the_time():
    a = torch.randn(300, 300)
    found = profile.profiled("product", lambda: a @ a, torch.device("cpu"))
    assert "aten::mm" in found.top
    assert found.launches >= 1
    assert found.busy_us > 0
    assert found.host_us > 0
    assert "| product |" in profile.text([{k: str(v) for k, v in vars(found).items()}])


@pytest.mark.parametrize(
    ("main", "arguments", "named"),
    [
        (profile.main, ["--device", "tpu"], "--device"),
        (profile.main, ["--device", "cuda"], "no CUDA device"),
        (profile.main, ["--nets", "vgg"], "'vgg'"),
        (curves.main, ["/nowhere"], "/nowhere"),
    ],
)
def test_a_wrong_argument_gives_one_line_and_exit_code_2(main, arguments, named, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert named in error
    assert error.count("\n") == 1


def test_a_folder_of_another_format_gives_one_line_and_exit_code_2(tmp_path, capsys):
    (tmp_path / "kth_magnitude.csv").write_text("op,seconds\n")
    with pytest.raises(SystemExit) as exit_:
        curves.main([str(tmp_path)])
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert "kth_magnitude.csv: expected a column 'net'" in error
    assert error.count("\n") == 1


def test_curves_take_replays_where_every_case_has_one_and_say_which():
    row = {"net": "1e5", "sparsity": "0.9", "median_us": "50", "graph_us": "5", "speedup": "2"}
    both = [row, row | {"net": "1e6", "graph_us": "40"}]
    assert curves.line_of(both, "net") == ([(1e5, 5.0), (1e6, 40.0)], curves.REPLAYED)
    some = [row, row | {"net": "1e6", "graph_us": ""}]
    assert curves.line_of(some, "net") == ([(1e5, 50.0), (1e6, 50.0)], curves.CALLED)
    assert curves.line_of(both, "sparsity") == ([(0.9, 2.0)] * 2, curves.CALLED)
    replayed = [row | {"graph_speedup": "3"}]
    assert curves.line_of(replayed, "sparsity") == ([(0.9, 3.0)], curves.REPLAYED)
    assert curves.axis_label("net", ["x", "x"]) == "us, host calls"
    assert curves.axis_label("sparsity", ["o"]) == "times ours, graph replay"
    assert curves.axis_label("net", ["o", "x"]) == "us: graph replay (o), host calls (x)"


def test_a_profile_becomes_a_table_of_the_docs(tmp_path, monkeypatch):
    found = profile.Profile("wrn-28-2: DSR step", 7, 1.0, 2.0, 3.0, "aten::add 1 us")
    monkeypatch.setattr(profile, "_of_net", lambda name, device: [found])
    folder = tmp_path / "cpu"
    assert profile.main(["--nets", "wrn-28-2", "--out", str(folder)]) == 0
    made = tables.contents(tmp_path)["cpu profile"]()
    assert "by `python -m benchmarks.profile --nets wrn-28-2 --out" in made
    assert "| wrn-28-2: DSR step | 7 | 1.0 us | 2.0 us | 3.0 us | aten::add 1 us |" in made


def test_curves_are_drawn_by_size_and_by_sparsity(tmp_path, capsys):
    arguments = ["--ops", "grow_random_", "--nets", "1e5,lenet-300-100", "--sparsity", ".9,.5"]
    assert run([*arguments, "--seconds", "1e-6", "--out", str(tmp_path)]) == 0
    assert curves.main([str(tmp_path), "--net", "lenet-300-100"]) == 0
    assert (tmp_path / curves.BY_SIZE).stat().st_size > 10_000
    assert (tmp_path / curves.BY_SPARSITY).stat().st_size > 10_000
    rows = list(csv.DictReader((tmp_path / "grow_random_.csv").open(newline="")))
    assert {row["net"] for row in rows} == {"1e5", "lenet-300-100"}
