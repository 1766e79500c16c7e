"""Which way a product goes: what was measured decides, else a rule, and the reason is told."""

import pytest
import torch
from product_cases import Case

import dsr_kernels
from dsr_kernels import masked_conv2d, masked_linear, products, routes
from dsr_kernels.route_table import Measured
from dsr_kernels.routes import choose_route, preferred

GPU = "NVIDIA H200"
LINEAR, CONV, HALF = "masked_linear", "masked_conv2d", "bfloat16"
PLAIN, WIDE = "unstructured", (4096, 1024)
TABLE = (
    Measured(GPU, LINEAR, "forward", HALF, PLAIN, 16, WIDE, 1, "triton", 1.3),
    Measured(GPU, LINEAR, "forward", HALF, PLAIN, 8192, WIDE, 1, "library", 0.98),
    Measured(GPU, LINEAR, "forward", HALF, PLAIN, 8192, (1024, 4096), 1, "triton", 1.1),
    Measured(GPU, LINEAR, "backward", HALF, PLAIN, 16, WIDE, 1, "library", 1.0),
    Measured(GPU, LINEAR, "forward", HALF, "tiles", 8192, WIDE, 1, "triton-tiles", 4.2),
    Measured(GPU, CONV, "forward", HALF, PLAIN, 8192, (64, 64, 3, 3), 1, "library", 1.0),
    Measured(GPU, CONV, "forward", HALF, PLAIN, 8192, (64, 64, 3, 3), 2, "triton", 1.2),
    Measured(GPU, CONV, "forward", HALF, PLAIN, 8192, (64, 64, 1, 1), 1, "triton", 1.4),
    Measured("another", LINEAR, "forward", "float16", PLAIN, 16, WIDE, 1, "triton", 2.0),
)


@pytest.fixture
def measured(monkeypatch):
    monkeypatch.setattr(routes, "MEASURED", TABLE)
    monkeypatch.setattr(routes, "_gpu_name", lambda index: GPU)
    routes._nearest.cache_clear()
    yield
    routes._nearest.cache_clear()


def ask(rows=8192, dtype=torch.bfloat16, op=LINEAR, **options):
    options = {"device": "cuda", "weight": WIDE} | options
    return choose_route(op, rows=rows, dtype=dtype, **options)


@pytest.mark.usefixtures("measured")
def test_the_nearest_measurement_decides():
    assert ask(rows=30).name == "triton"
    assert ask(rows=2000).name == "library"
    assert "forward measured on NVIDIA H200 at 16 rows, weight 4096 x 1024" in ask(rows=1).reason
    assert ask(structure="tiles").name == "triton-tiles"


@pytest.mark.usefixtures("measured")
def test_shapes_and_parts_are_told_apart():
    assert ask(weight=(1000, 4096)).name == "triton"
    assert ask(weight=(4096, 1000)).name == "library"
    assert ask(rows=16, part="backward").name == "library"
    for weight, stride, name in (
        ((64, 64, 3, 3), 1, "library"),
        ((64, 64, 3, 3), 2, "triton"),
        ((64, 64, 1, 1), 1, "triton"),
    ):
        assert ask(op=CONV, weight=weight, stride=stride).name == name


def sizes_seen(monkeypatch, step):
    """What the products of a step ask a route for."""
    seen = []

    def asked(product, **conditions):
        seen.append([conditions[name] for name in ("part", "rows", "weight", "stride")])
        return routes.Route("library", "")

    monkeypatch.setattr(products, "choose_route", asked)
    monkeypatch.setattr(products, "forced_backend", lambda: "nothing that is on a CPU")
    step()
    return [[part, rows, tuple(weight), stride] for part, rows, weight, stride in seen]


def test_every_product_of_a_linear_layer_asks_by_its_sizes(monkeypatch):
    case = Case((3, 2, 7), (5, 7))
    x, weight = case.x.requires_grad_(), case.weight.requires_grad_()
    seen = sizes_seen(monkeypatch, lambda: masked_linear(x, weight, case.mask).sum().backward())
    assert seen == [[part, 6, (5, 7), 1] for part in ("forward", "backward", "backward")]


@pytest.mark.parametrize("asked", [(True, False), (False, True), (True, True)])
def test_every_product_of_a_convolution_asks_by_its_sizes(asked, monkeypatch):
    case = Case((2, 4, 6, 5), (6, 2, 3, 2))
    x, weight = case.x.requires_grad_(asked[0]), case.weight.requires_grad_(asked[1])
    options = {"stride": (2, 1), "padding": (0, 1), "dilation": (1, 2), "groups": 2}
    seen = sizes_seen(
        monkeypatch, lambda: masked_conv2d(x, weight, case.mask, **options).sum().backward()
    )
    parts = ("forward", "backward")  # both gradients come from one op
    assert seen == [[part, 2 * 2 * 5, (6, 2, 3, 2), 2] for part in parts]


@pytest.mark.usefixtures("measured")
def test_nothing_measured_is_said():
    for route in (ask(dtype=torch.float16), ask(structure="channels")):
        assert "unmeasured on NVIDIA H200" in route.reason
    assert ask(dtype=torch.float16, rows=16).name == "library"
    assert ask(structure="channels").name == "triton-tiles"
    other = choose_route("masked_conv2d", dtype=torch.float16, rows=16, device="cuda")
    assert "unmeasured" in other.reason


@pytest.mark.usefixtures("measured")
def test_what_triton_does_not_do_goes_to_the_library():
    assert ask(dtype=torch.float64).name == "library"
    assert ask(device="cpu", structure="tiles").name == "library"


def test_a_route_is_a_backend_with_the_library_behind_it():
    assert preferred(routes.Route("triton-tiles", "")) == ("triton", "library")
    assert preferred(routes.Route("library", "")) == ("library",)


def test_explain_names_the_route_and_the_reason():
    text = dsr_kernels.explain("masked_linear", rows=16, dtype=torch.float64, device="cuda")
    assert "route: library: the Triton kernels have no float64" in text
    assert "route: library: on cpu the product is torch's own" in dsr_kernels.explain(
        "masked_conv2d", rows=16
    )
    assert "give rows=" in dsr_kernels.explain("masked_linear")
    assert "cuda: built only where a measurement" in dsr_kernels.explain("masked_linear")


def test_without_a_gpu_its_name_is_not_asked_for():
    if not torch.cuda.is_available():
        assert "unmeasured on a GPU" in choose_route("masked_linear", device="cuda").reason


def test_explain_tells_the_forced_backend_as_the_route(monkeypatch):
    asked = {"rows": 16, "structure": "tiles"}
    monkeypatch.setattr(dsr_kernels.dispatch, "unavailable", lambda *args: "")
    for name, route in (("reference",) * 2, ("library",) * 2, ("triton", "triton-tiles")):
        with dsr_kernels.backend(name):
            text = dsr_kernels.explain("masked_linear", **asked)
            assert f"route: {route}: the backend {name} is forced" in text
    monkeypatch.undo()
    with dsr_kernels.backend("cuda"):
        for text in (explain_of(**asked), explain_of(), explain_of(device="cpu")):
            assert "route: none: the forced backend cuda cannot run here: built only" in text


def explain_of(op="masked_linear", **conditions):
    return dsr_kernels.explain(op, **conditions)


def test_a_packed_product_is_the_librarys():
    for asked in ({}, {"device": "cuda", "structure": "tiles"}):
        assert "route: library: the weight is unpacked" in explain_of("packed_linear", **asked)


@pytest.mark.parametrize(
    ("conditions", "error", "message"),
    [
        ({"rows": -1}, ValueError, "rows: expected at least 0, got -1"),
        ({"rows": 1.5}, TypeError, "rows: expected an int, got 1.5"),
        ({"stride": True}, TypeError, "stride: expected an int, got True"),
        ({"stride": 0}, ValueError, "stride: expected at least 1"),
        ({"weight": 4096}, TypeError, "weight: expected its shape as ints, got 4096"),
        ({"weight": (2, -1)}, ValueError, "weight: expected sizes of at least 0"),
        ({"part": "sideways"}, ValueError, "part: expected one of forward, backward, got"),
        ({"dtype": "float32"}, TypeError, "dtype: expected a torch.dtype, got 'float32'"),
        ({"device": "gpu"}, ValueError, "device: expected a torch.device or its name, got 'gpu'"),
        ({"device": 3}, TypeError, "device: expected a torch.device or its name, got 3"),
        ({"structure": "blocks"}, ValueError, "structure: expected one of"),
        ({"row": 3}, ValueError, "row: expected a condition of rows, weight"),
        ({"weight": (8, 8), "stride": 2}, ValueError, "stride: masked_linear is no convolution"),
        ({"op": "packed_linear", "stride": 2}, ValueError, "stride: packed_linear is no"),
        ({"weight": (8, 8, 3, 3)}, ValueError, r"weight: expected a shape of 2 dimensions, got"),
        ({"op": CONV, "weight": (8, 8)}, ValueError, "weight: expected a shape of 4 dimensions"),
        ({"op": "pack", "rows": 3}, ValueError, "rows: pack has no routes"),
    ],
)
def test_explain_refuses_by_name(conditions, error, message):
    with pytest.raises(error, match=message):
        explain_of(**conditions)
