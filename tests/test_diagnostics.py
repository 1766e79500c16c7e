"""``python -m dsr_kernels`` and ``explain`` say what runs, and why not where it does not."""

import subprocess
import sys

import pytest
import torch

import dsr_kernels
from dsr_kernels import BitMask, SparseLayout, diagnostics, extension
from dsr_kernels.schema import BACKENDS, OPS


def test_page_prints():
    command = [sys.executable, "-m", "dsr_kernels"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for word in (*OPS, *BACKENDS, "Versions", "Devices", dsr_kernels.__version__):
        assert word in done.stdout
    assert done.stderr == ""


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
