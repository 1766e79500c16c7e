"""The sweep of the masked products: its command line, places, ways, rows and tables."""

import csv
import json
from pathlib import Path

import pytest
import torch

from benchmarks import stale, tables
from benchmarks.convolutions import distinct
from benchmarks.markdown import NOT_MEASURED, read_rows
from benchmarks.masked_products import __main__ as sweep
from benchmarks.masked_products import layer as layers
from benchmarks.masked_products import places, text, ways
from benchmarks.registry import DEFAULT, OPS, PRODUCTS

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
TINY = ["--seconds", "1e-6"]


@pytest.fixture(autouse=True)
def without_compiling(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    ways._compiled_product.cache_clear()
    yield
    ways._compiled_product.cache_clear()


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def place_of(op="masked_linear", structure="unstructured", sparsity=0.5):
    shape, x = ((24, 40), (40,)) if op == "masked_linear" else ((24, 8, 3, 3), (8, 6, 6))
    return places.Place(
        op, "transformer", places.Convolution(shape, x, 1, 1), 5, sparsity, structure
    )


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--ops", "prune_threshold_"], "--ops"),
        (["--nets", "resnet50,vgg"], "'vgg'"),
        (["--rows", "16,0"], "--rows"),
        (["--rows", "many"], "--rows"),
        (["--sparsity", "0.9,1"], "--sparsity"),
        (["--sparsity", "nan"], "--sparsity"),
        (["--structures", "blocks"], "'blocks'"),
        (["--dtype", "float32,float16"], "--dtype"),
        (["--out", "/dev/null/folder"], "--out"),
        (["--seconds", "0"], "--seconds"),
        (["--minutes", "nan"], "--minutes"),
        (["--minutes", "soon"], "--minutes"),
        (["--device", "tpu"], "--device"),
        (["--fast"], "--fast"),
    ],
)
def test_a_wrong_argument_gives_one_line_and_exit_code_2(arguments, named, capsys):
    with pytest.raises(SystemExit) as exit_:
        sweep.main(arguments)
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert named in error
    assert error.count("\n") == 1


def test_a_sweep_writes_a_csv_an_op_and_tables_are_made_of_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(places.WIDTH, "cpu", 32)
    monkeypatch.setattr(places, "CLASSIFIERS", ((10, 24),))
    monkeypatch.setattr(
        places, "distinct", lambda net: [places.Convolution((8, 4, 3, 3), (4, 6, 6))]
    )
    folder = tmp_path / "cpu"
    nets = ["--nets", "transformer,classifiers,wrn-28-2"]
    nets += ["--structures", "unstructured,rows"]
    arguments = [*nets, "--rows", "8,4", "--sparsity", ".9,.5", *TINY, "--out", str(folder)]
    assert sweep.main(arguments) == 0
    names = {"masked_linear_sweep.csv", "masked_conv2d_sweep.csv", sweep.MACHINE}
    assert {path.name for path in folder.iterdir()} == names
    linear = list(csv.DictReader((folder / "masked_linear_sweep.csv").open(newline="")))
    assert {row["structure"] for row in linear} == {"unstructured", "rows"}
    assert {(row["rows"], row["sparsity"]) for row in linear} == {
        ("8", "0.9"),
        ("4", "0.9"),
        ("8", "0.5"),
    }
    assert {row["net"] for row in linear} == set(places.LINEAR_NETS)
    for row in linear:
        if row["provider"].startswith("2:4"):
            assert "CUDA" in row["error"]
            assert not row["both_us"]
        else:
            assert not row["error"]
            assert float(row["both_of_dense"]) > 0
    assert {row["route"] for row in linear if row["chosen"]} == {"library"}
    machine = json.loads((folder / sweep.MACHINE).read_text())
    assert " ".join(arguments) in machine["command"]
    made = tables.contents(tmp_path)["cpu masked products"]()
    assert "| transformer, 32 -> 128 | 8 | 0.9 | unstructured | library |" in made
    assert "- 2:4, half of the weights: RuntimeError" in made
    assert "| WRN-28-2 | 0.9 | unstructured | 1 |" in made
    assert "cannot run" in capsys.readouterr().out


def test_out_of_time_no_place_begins(capsys):
    assert sweep.main(["--minutes", "1e-9", "--nets", "classifiers"]) == 0
    out = capsys.readouterr().out
    assert "masked_linear: out of time, " in out
    assert "forward ms" not in out


@pytest.mark.parametrize("op", sweep.OPS)
@pytest.mark.parametrize("structure", places.STRUCTURES)
def test_every_way_is_right_and_a_wrong_one_is_noticed(op, structure):
    layer = layers.build(place_of(op, structure), torch.float32, CPU)
    found = ways.ways_of(layer)
    assert [way.name for way in found if way.chosen] == ["dsr (library)"]
    assert found[-1].name == ways.DENSE
    for way in found:
        if way.name.startswith("2:4"):
            continue
        steps = way.build(layer)
        output = steps.forward()
        grads = steps.backward(output)
        steps.layer.check(output, grads)
        for wrong in range(3):
            results = [output, *grads]
            results[wrong] = results[wrong] * 1.01
            with pytest.raises(Exception, match="off by"):
                steps.layer.check(results[0], results[1:])


def test_a_channels_last_layer_has_its_mask_in_memory_order():
    layer = layers.build(place_of("masked_conv2d"), torch.float32, CPU)
    last = torch.channels_last
    moved = layers.Layer(
        layer.place,
        layer.function,
        layer.x,
        layer.weight.detach().contiguous(memory_format=last).requires_grad_(),
        layer.flags.contiguous(memory_format=last),
        layer.grad,
    )
    steps = ways.ways_of(moved)[0].build(moved)
    output = steps.forward()
    layer.check(output, steps.backward(output))


@pytest.mark.parametrize("structure", places.STRUCTURES)
@pytest.mark.parametrize("sparsity", [0.5, 0.9])
def test_masks_have_their_structure_and_sparsity(structure, sparsity):
    flags = places.flags_of((1280, 640), sparsity, structure)
    assert flags.float().mean().item() == pytest.approx(1 - sparsity, abs=0.01)
    units = {
        "tiles": flags.view(10, 128, 5, 128).transpose(1, 2).reshape(50, -1),
        "rows": flags,
        "channels": flags.t(),
    }.get(structure)
    if units is not None:
        assert (units.all(1) | ~units.any(1)).all()


def test_a_sweep_takes_every_shape_and_varies_one_axis_at_a_time():
    axes = (places.NETS, (8, 16), (0.9, 0.5), places.STRUCTURES)
    linear = list(places.places("cuda", "masked_linear", *axes))
    convolutions = list(places.places("cuda", "masked_conv2d", *axes))
    everything = list(places.places("cuda", "masked_linear", *axes, everything=True))
    assert len(everything) == 6 * 2 * 2 * 4
    assert set(linear) < set(everything)
    first = [p for p in convolutions if (p.sparsity, p.structure) == (0.9, "unstructured")]
    assert len(first) == sum(len(distinct(net)) for net in places.BATCH["cuda"])
    assert len(set(first)) == len(first)
    varied = {p.layer.weight for p in convolutions if p not in first}
    assert varied == {places.SWEPT}
    assert {p.rows for p in linear} == {8, 16}


def test_without_rows_nothing_is_claimed(tmp_path):
    assert text.linear_text(read_rows(tmp_path / "none.csv")) == NOT_MEASURED
    assert tables.contents(tmp_path)["cpu masked products"]() == NOT_MEASURED
    assert tables.contents(tmp_path)["gpu masked products"]().startswith("Unverified on GPU")


def test_the_files_that_make_a_sweep_stale_exist():
    assert all((ROOT / path).exists() for path in stale.PRODUCT_SOURCES)
    for native in ("cpu", "cuda"):
        found = stale.sources("masked_products", native)
        assert {"dsr_kernels/ops/masked_conv2d.py", "benchmarks/masked_products"} <= set(found)
    assert "dsr_kernels/triton_kernels/masked_linear.py" in found


def test_products_of_whole_nets_are_timed_only_where_asked_for():
    assert set(PRODUCTS) <= set(OPS)
    assert set(DEFAULT) == set(OPS) - set(PRODUCTS)
