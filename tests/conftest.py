"""Where the tests run: device, backends, and the order of a Triton grid in the interpreter.

``DSR_TEST_DEVICE=cuda`` runs every test that takes a device on the GPU, and no other.
``DSR_TEST_INTERPRET=1`` runs the Triton kernels in Triton's interpreter on the CPU, and
``DSR_TEST_EMULATE=1`` the CUDA kernels in the emulator of tests/native.
"""

import os
import random
import re

import pytest
from modes import DEVICE, EMULATED, INTERPRETED, part_of

PROGRAM_ORDERS = ("forward", "reversed", "shuffled")

# Triton reads this when a kernel is decorated, so it has to be settled before any import.
if INTERPRETED:
    os.environ["TRITON_INTERPRET"] = "1"
else:
    os.environ.pop("TRITON_INTERPRET", None)

# Read once too, by torch, which needs it where a test asks for deterministic products.
if DEVICE == "cuda":
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import cuda_emulation  # noqa: E402
import torch  # noqa: E402
from canaries import Allocations  # noqa: E402

from dsr_kernels.schema import OPS  # noqa: E402

set_emulated_order = cuda_emulation.install() if EMULATED else None

collect_ignore = [
    folder
    for folder, wanted in (
        ("interpreter", INTERPRETED),
        ("emulator", EMULATED),
        ("gpu", DEVICE == "cuda"),
    )
    if not wanted
]


def pytest_ignore_collect(collection_path):
    """On a GPU, files without a test for it are not even imported: they may need more packages."""
    if DEVICE == "cpu" or collection_path.suffix != ".py":
        return None
    takes_device = re.search(
        r"def test_\w+\([^)]*\b(device|backend)\b", collection_path.read_text()
    )
    return True if takes_device is None else None


def pytest_generate_tests(metafunc):
    """``backend``: every backend on this device of the op that the test file names in ``OP``."""
    op = getattr(metafunc.module, "OP", None)
    if op is not None and "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", _backends(OPS[op]), indirect=True)


# Each of these tests starts a process or a compiler of its own and takes minutes.
LONG = ("test_triton_interpreter.py", "test_triton_compile.py", "test_cuda_emulated.py")


def pytest_collection_modifyitems(config, items):
    if DEVICE == "cpu":
        # First, so that no process waits at the end for one that has just begun the longest.
        items.sort(key=lambda item: item.path.name not in LONG)
        return
    chosen = part_of([item for item in items if {"device", "backend"} & set(item.fixturenames)])
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


@pytest.fixture
def device():
    """The device under test."""
    return torch.device(DEVICE)


@pytest.fixture
def backend(request, monkeypatch):
    """The name of a backend, for ``with dsr_kernels.backend(backend)``."""
    name, _, order = request.param.partition("-")
    if order and name == "triton":
        _set_program_order(monkeypatch, order)
    if order and name == "cuda":
        set_emulated_order(order)
    return name


# AddressSanitizer has borders of its own around what is allocated, and sees reads there too.
if INTERPRETED or (EMULATED and os.environ.get("DSR_TEST_ADDRESSES") != "1"):

    @pytest.fixture(autouse=True)
    def allocations(monkeypatch):
        """Canaries around what ops allocate: outputs, scratch, counters."""
        made = Allocations(monkeypatch)
        yield made
        assert made.intact(), "a kernel wrote outside of a tensor that was allocated"


@pytest.fixture
def ieee():
    """cuDNN's default for float32 is TF32, and so is ours: with this the sums are exact."""
    settings = torch.backends.cudnn.conv
    before = settings.fp32_precision
    settings.fp32_precision = "ieee"
    yield
    settings.fp32_precision = before


def _backends(schema):
    if INTERPRETED:
        return [f"triton-{order}" for order in PROGRAM_ORDERS]
    if EMULATED:
        return [f"cuda-{order}" for order in PROGRAM_ORDERS]
    return [
        name for name in schema.backends if name in ("reference", "library", DEVICE, *_on_gpu())
    ]


def _on_gpu():
    return ("triton",) if DEVICE == "cuda" else ()


def _set_program_order(monkeypatch, order):
    """Let the interpreter visit the programs of a one-dimensional grid in another order."""
    from triton.runtime import interpreter

    builder = interpreter.interpreter_builder
    set_dim, set_index = builder.set_grid_dim, builder.set_grid_idx
    programs = []

    def grid_dim(x, y, z):
        programs[:] = range(x)
        if order == "reversed":
            programs.reverse()
        elif order == "shuffled":
            random.Random(0).shuffle(programs)
        set_dim(x, y, z)

    monkeypatch.setattr(builder, "set_grid_dim", grid_dim)
    monkeypatch.setattr(builder, "set_grid_idx", lambda x, y, z: set_index(programs[x], y, z))
