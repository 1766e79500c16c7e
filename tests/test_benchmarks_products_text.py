"""The tables of the masked products: dtypes, routes that are not chosen, what is asked."""

import json

import pytest
import torch

from benchmarks.masked_products import __main__ as sweep
from benchmarks.masked_products import layer as layers
from benchmarks.masked_products import places, text, ways
from dsr_kernels.routes import Route

COLUMNS = (*text.PLACE, "provider", "chosen", "both_of_dense", "route", "both_us", "host_us")


def row(place, provider, ratio, chosen="", route="library", error=""):
    made = dict(zip(COLUMNS, (*place, provider, chosen, ratio, route, "10", "1"), strict=True))
    return made | {"error": error}


def linear(structure="unstructured", rows="8192", dtype="bfloat16"):
    return ("transformer", "2048 -> 8192", rows, "0.9", structure, dtype)


def test_targets_are_judged_on_a_gpus_rows():
    rows = [
        row(linear(), "dsr (library)", "0.98", "yes"),
        row(linear(), text.TRITON, "0.8", route="triton"),
        row(linear(), text.PACKED, "0.96"),
        row(linear(), text.DENSE, "1.0"),
        row(linear("tiles"), text.TILES, "3.5", "yes", "triton-tiles"),
        row(linear("tiles"), text.DENSE, "1.0"),
        row(linear(rows="2048"), text.PACKED, "", error="OutOfMemoryError"),
        row(linear(rows="2048"), "dsr (library)", "0.98", "yes"),
        row(linear(rows="2048"), text.DENSE, "1.0"),
    ]
    made = text.linear_text(rows)
    where = "2048 -> 8192, unstructured, 8192 rows, bfloat16"
    for verdict in (
        f"ours, {where}: 0.97, reached 0.98: **met**",
        f"fused Triton, {where}: 0.85, reached 0.8: **missed**",
        f"packed, {where}: 0.95, reached 0.96: **met**",
        "packed, 2048 -> 8192, unstructured, 2048 rows, bfloat16: 0.86, **not measured**",
        "ours, 2048 -> 8192, tiles, 8192 rows, bfloat16: 4, reached 3.5: **missed**",
    ):
        assert verdict in made
    assert "| triton-tiles | 10 us | 3.5 |" in made


def test_a_route_that_is_not_chosen_has_a_column_where_there_is_one():
    chosen = [row(linear(), text.TRITON, "1.1", "yes", "triton"), row(linear(), text.DENSE, "1")]
    assert "not chosen" not in text.linear_text(chosen)
    beside = [*chosen, *(row(linear(rows="16"), *more) for more in (
        ("dsr (library)", "0.9", "yes"), (text.TRITON, "0.7"), (text.DENSE, "1")))]  # fmt: skip
    lines = text.linear_text(beside).splitlines()
    assert "| triton, not chosen |" in lines[0]
    at = lines[0].split(" | ").index("triton, not chosen")
    assert [line.split(" | ")[at] for line in lines[2:4]] == ["0.7", ""]


def test_rows_of_several_dtypes_are_told_apart():
    rows = []
    for dtype, ratio in (("bfloat16", "0.98"), ("float32", "0.95"), ("float32", "0.96")):
        place = linear(dtype=dtype)
        rows += [row(place, "dsr (library)", ratio, "yes"), row(place, text.DENSE, "1")]
    made = text.linear_text(rows)
    assert "| zeros | dtype |" in made
    assert "| bfloat16 | library | 10 us | 0.98 |" in made
    assert "| float32 | library | 10 us | 0.96 |" in made  # of the same place the last counts
    assert "| 0.95 |" not in made
    assert "dtype" not in text.linear_text(rows[:2]).splitlines()[0]


def test_the_convolutions_of_a_net_are_judged_together():
    rows = []
    for shape, ratio in (("8 -> 8", "0.9"), ("16 -> 16", "1.2")):
        place = ("resnet50", shape, "128", "0.9", "unstructured", "bfloat16")
        ours = row(place, "dsr (library)", "0.95", "yes")
        rows += [ours, row(place, text.ALREADY, ratio), row(place, text.DENSE, "1")]
    made = text.convolutions_text(rows)
    assert "masked already, ResNet-50, bfloat16: 0.98, reached 1.03: **met**" in made
    assert "triton" not in made


def test_appended_rows_follow_those_that_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "CLASSIFIERS", ((10, 24),))
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    ways._compiled_product.cache_clear()
    common = ["--ops", "masked_linear", "--nets", "classifiers", "--rows", "4", "--sparsity", ".9"]
    common += ["--structures", "unstructured", "--seconds", "1e-6", "--out", str(tmp_path)]
    assert sweep.main(common) == 0
    command = (tmp_path / sweep.MACHINE).read_text()
    assert sweep.main([*common, "--append", "--dtype", "float16"]) == 0
    lines = (tmp_path / "masked_linear_sweep.csv").read_text().splitlines()
    assert sum(line.startswith("op,") for line in lines) == 1
    assert {line.split(",")[6] for line in lines[1:]} == {"float32", "float16"}
    both = json.loads((tmp_path / sweep.MACHINE).read_text())["command"]
    assert both.startswith(f"{json.loads(command)['command']}; ")
    assert both.endswith("--append --dtype float16")
    ways._compiled_product.cache_clear()


@pytest.mark.parametrize("backward", ["library", "triton"])
def test_forward_and_backward_by_different_routes_are_a_way_of_their_own(monkeypatch, backward):
    routes = {"forward": "library", "backward": backward}
    monkeypatch.setattr(ways, "choose_route", lambda op, part, **_: Route(routes[part], ""))
    monkeypatch.setattr(ways, "backends", lambda device, ops: ["triton", "library"])
    place = places.Place(
        "masked_linear", "transformer", places.Convolution((8, 4), (4,)), 5, 0.5, "unstructured"
    )
    found = ways.ways_of(layers.build(place, torch.float32, torch.device("cpu")))
    (chosen,) = [way for way in found if way.chosen]
    assert chosen.name == ("dsr (library)" if backward == "library" else "dsr (both routes)")
