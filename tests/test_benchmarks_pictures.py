"""The profile's table and the pictures over size and sparsity."""

import csv

import pytest
import torch

from benchmarks import curves, profile
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


def test_curves_are_drawn_by_size_and_by_sparsity(tmp_path, capsys):
    arguments = ["--ops", "grow_random_", "--nets", "1e5,lenet-300-100", "--sparsity", ".9,.5"]
    assert run([*arguments, "--seconds", "1e-6", "--out", str(tmp_path)]) == 0
    assert curves.main([str(tmp_path), "--net", "lenet-300-100"]) == 0
    assert (tmp_path / curves.BY_SIZE).stat().st_size > 10_000
    assert (tmp_path / curves.BY_SPARSITY).stat().st_size > 10_000
    rows = list(csv.DictReader((tmp_path / "grow_random_.csv").open(newline="")))
    assert {row["net"] for row in rows} == {"1e5", "lenet-300-100"}
