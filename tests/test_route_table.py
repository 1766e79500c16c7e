"""benchmarks.routes: the masks it times, and the table it writes."""

import importlib.util
import sys

import pytest
import torch

from benchmarks import routes
from dsr_kernels.route_table import Measured

PLACE = ("masked_linear", "forward", "bfloat16", "tiles", 16, (64, 64), 1)
ROW = Measured("a GPU", *PLACE, "triton-tiles", 1.25)


@pytest.mark.parametrize("structure", routes.STRUCTURES)
def test_a_tenth_of_the_weights_is_active(structure):
    mask = routes.mask_of(2000, 2000, 1, structure)
    assert mask.shape == (2000, 2000, 1)
    assert abs(mask.float().mean().item() - 0.1) < 0.05
    if structure == "tiles":
        tile = mask[: routes.TILE, : routes.TILE]
        assert tile.all() or not tile.any()
    if structure == "channels":
        assert mask.any(1).float().mean() < 0.5


def read(path, monkeypatch):
    spec = importlib.util.spec_from_file_location("written_table", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "written_table", module)
    spec.loader.exec_module(module)
    return module.MEASURED


def test_what_is_written_is_what_was_measured(tmp_path, monkeypatch):
    other = Measured("another", *PLACE, "library", 1.0)
    kept = Measured("a GPU", "masked_linear", "backward", *PLACE[2:], "library", 1.0)
    old = Measured("a GPU", *PLACE, "library", 0.5)
    monkeypatch.setattr(routes, "MEASURED", (other, kept, old))
    routes.write([ROW], tmp_path / "table.py")
    written = read(tmp_path / "table.py", monkeypatch)
    assert [vars(row) for row in written] == [vars(row) for row in (other, kept, ROW)]


def test_it_runs_on_a_cpu_forward_and_backward_apart(tmp_path, monkeypatch, capsys):
    assert routes.main(["--device", "cpu", "--out", str(tmp_path)]) == 0
    rows = read(tmp_path / "route_table.py", monkeypatch)
    own = [row for row in rows if row.gpu == "cpu"]
    places = {(row.op, row.part, row.structure) for row in own}
    ops, structures = ("masked_linear", "masked_conv2d"), routes.STRUCTURES
    assert places == {(op, part, s) for op in ops for part in routes.PARTS for s in structures}
    assert {row.route for row in own} == {"library"}
    conv = next(row for row in own if row.op == "masked_conv2d")
    assert (conv.rows, conv.weight, conv.stride) == (2 * 5 * 5, (8, 4, 3, 3), 2)
    assert "masked_conv2d backward float32" in capsys.readouterr().out


def test_out_of_time_it_writes_what_it_has(tmp_path, capsys):
    assert routes.main(["--device", "cpu", "--minutes", "1e-9", "--out", str(tmp_path)]) == 0
    assert "out of time" in capsys.readouterr().out
    assert (tmp_path / "route_table.py").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--device: torch sees no CUDA device"),
        (["--device", "gpu"], "--device: expected cpu or cuda, got 'gpu'"),
        (["--device", "cpu", "--minutes", "0"], "--minutes: expected a number above 0"),
    ],
)
def test_what_it_cannot_do_is_one_line(monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        routes.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
