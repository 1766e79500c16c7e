"""``python -m dsr_kernels`` and ``explain`` say what runs, and why not where it does not."""

import importlib.util
import runpy
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

import dsr_kernels
from dsr_kernels import (
    BitMask,
    SparseLayout,
    diagnostics,
    dispatch,
    extension,
    triton_kernels,
)
from dsr_kernels.schema import BACKENDS, OPS


def test_page_prints():
    command = [sys.executable, "-m", "dsr_kernels"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for word in (*OPS, *BACKENDS, "Versions", "Devices", dsr_kernels.__version__):
        assert word in done.stdout
    assert done.stderr == ""


def test_page_prints_in_this_process_too(capsys):
    runpy.run_module("dsr_kernels", run_name="__main__")
    assert capsys.readouterr().out == diagnostics.report() + "\n"


def test_every_op_has_a_cell_a_backend():
    lines = diagnostics.report().splitlines()
    for name, schema in OPS.items():
        cells = next(line for line in lines if line.split()[:1] == [name]).split()[1:]
        cells = [cell for cell in cells if not cell.startswith("[")]
        assert len(cells) == len(BACKENDS)
        for cell, backend in zip(cells, BACKENDS, strict=True):
            assert (cell == "-") == (backend not in schema.backends)
            assert cell in ("yes", "no", "-")


def test_reasons_are_written_out():
    page = diagnostics.report()
    for schema in OPS.values():
        for reason in schema.missing.values():
            assert reason in page


def test_a_module_that_was_not_built_is_a_reason_not_an_error(monkeypatch):
    monkeypatch.setitem(extension._modules, "cuda", "dsr_kernels._cuda is not built (because)")
    assert "dsr_kernels._cuda is not built (because)" in diagnostics.report()
    mask = BitMask.zeros(SparseLayout.of_elements([1]))
    with (
        dsr_kernels.backend("cuda"),
        pytest.raises(RuntimeError, match="_cuda is not built"),
    ):
        dsr_kernels.apply_mask_([torch.ones(1)], mask)


def _without(monkeypatch, **modules):
    monkeypatch.setattr(extension, "_modules", modules)
    monkeypatch.setattr(dispatch, "_launchers", {})


def test_without_the_native_modules_the_reference_runs(monkeypatch):
    _without(monkeypatch)
    monkeypatch.setitem(sys.modules, "dsr_kernels._cpu", None)
    schema = OPS["apply_mask_"]
    assert dispatch.choose_backend(schema, torch.device("cpu")) == "reference"
    assert "dsr_kernels._cpu is not built" in dispatch.unavailable(schema, "cpu")
    with pytest.raises(RuntimeError, match=r"apply_mask: dsr_kernels\._cpu is not built"):
        extension.launcher("apply_mask", "cpu", lambda *args: None)


def test_a_native_module_of_older_sources_is_named(monkeypatch):
    _without(monkeypatch, cpu=SimpleNamespace())
    mask = BitMask.zeros(SparseLayout.of_elements([1]))
    with pytest.raises(RuntimeError, match=r"apply_mask: .*_cpu was built from older sources"):
        dsr_kernels.apply_mask_([torch.ones(1)], mask)


@pytest.mark.parametrize(("device", "index"), [(None, 0), ("cuda", 0), ("cuda:1", 1)])
def test_a_driver_that_is_too_old_is_the_modules_to_judge(monkeypatch, device, index):
    asked = []
    native = SimpleNamespace(unavailable=lambda index: asked.append(index) or "driver too old")
    _without(monkeypatch, cuda=native)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    unavailable = extension._cuda_unavailable.__wrapped__  # not what the cache remembers
    assert unavailable(device and torch.device(device)) == "driver too old"
    assert asked == [index]


def test_a_machine_without_triton_or_with_its_interpreter(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert triton_kernels.unavailable(torch.device("cpu")) == ""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert triton_kernels.unavailable() == "triton is not installed"


def test_on_a_device_without_kernels_the_reference_runs():
    for device in ("cuda", "meta"):
        assert dispatch.choose_backend(OPS["apply_mask_"], torch.device(device)) == "reference"


def test_explain():
    text = dsr_kernels.explain("apply_mask_")
    assert "cpu: available" in text
    assert "reference: available" in text
    with pytest.raises(ValueError, match="op: expected one of"):
        dsr_kernels.explain("apply_mask")


def test_explain_names_the_forced_backend():
    with dsr_kernels.backend("reference"):
        assert "forced to reference" in dsr_kernels.explain("apply_mask_")
    with pytest.raises(ValueError, match="backend: expected one of"), dsr_kernels.backend("gpu"):
        pass


def test_an_error_of_a_triton_launcher_names_the_op():
    def broken(tensor):
        raise RuntimeError("an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match=r"^apply_mask_: an illegal memory access"):
        dispatch.naming("apply_mask_", broken)(torch.zeros(1))
    assert dispatch.naming("apply_mask_", torch.neg)(torch.ones(1)).item() == -1


def test_an_error_that_callers_tell_apart_keeps_its_type():
    def full(tensor):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError, match=r"^CUDA out of memory"):
        dispatch.naming("apply_mask_", full)(torch.zeros(1))
