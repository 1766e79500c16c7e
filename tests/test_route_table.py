"""benchmarks.routes: the masks it times, and the table it writes."""

import importlib.util

import pytest
import torch

from benchmarks import routes
from dsr_kernels.route_table import Measured

ROW = Measured("a GPU", "masked_linear", "bfloat16", "tiles", 16, 4096, "triton-tiles", 1.25)


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


def test_what_is_written_is_what_was_measured(tmp_path, monkeypatch):
    path = tmp_path / "table.py"
    path.write_text(routes.TABLE.read_text())
    monkeypatch.setattr(routes, "TABLE", path)
    other = Measured("another", *list(vars(ROW).values())[1:])
    monkeypatch.setattr(routes, "MEASURED", (other, Measured("a GPU", *["old"] * 7)))
    routes.write([ROW])
    spec = importlib.util.spec_from_file_location("written_table", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, "written_table", module)
    spec.loader.exec_module(module)
    assert [vars(row) for row in module.MEASURED] == [vars(other), vars(ROW)]


def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert routes.main() == 2
    assert "no CUDA device" in capsys.readouterr().err
