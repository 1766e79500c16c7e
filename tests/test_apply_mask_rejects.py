"""apply_mask_ refuses what it cannot do, by name, and changes nothing."""

import re

import pytest
import torch

import dsr_kernels
from dsr_kernels import BitMask, SparseLayout, extension

LAYOUT = SparseLayout.of_elements([12, 4])
MASK = BitMask.zeros(LAYOUT)


def ones(*shape, **kwargs):
    return torch.ones(*shape, **kwargs)


BAD = {
    "not a list": (ones(12), None, TypeError, "tensors: expected a list"),
    "too few": ([ones(12)], None, ValueError, "tensors: expected 2 tensors"),
    "wrong size": ([ones(12), ones(5)], None, ValueError, "tensors[1]: expected 4 elements"),
    "integers": ([ones(12), ones(4, dtype=torch.int32)], None, TypeError, "tensors[1]: expected"),
    "not a tensor": ([ones(12), 3], None, TypeError, "tensors[1]: expected a tensor"),
    "gaps": ([ones(12), ones(8)[::2]], None, ValueError, "tensors[1]: expected memory without"),
    "overlaps": ([ones(1).expand(12), ones(4)], None, ValueError, "tensors[0]: expected memory"),
    "sparse": ([ones(12).to_sparse(), ones(4)], None, TypeError, "tensors[0]: expected a strided"),
    "other device": ([ones(12), ones(4, device="meta")], None, ValueError, "expected device cpu"),
    "layer number": ([ones(12)], [2], ValueError, "layers[0]: expected a layer in [0, 2)"),
    "layers length": ([ones(12)], [0, 1], ValueError, "layers: expected 1 numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tensors(name):
    tensors, layers, error, text = BAD[name]
    with pytest.raises(error, match=re.escape(text)):
        dsr_kernels.apply_mask_(tensors, MASK, layers)
    for tensor in [tensors] if isinstance(tensors, torch.Tensor) else tensors:
        if isinstance(tensor, torch.Tensor) and not tensor.is_meta:
            assert (tensor.to_dense() == 1).all()
            assert tensor._version == 0


def test_mask_must_be_a_bitmask():
    with pytest.raises(TypeError, match="mask: expected a BitMask, got Tensor"):
        dsr_kernels.apply_mask_([ones(12), ones(4)], MASK.words)


@pytest.mark.parametrize("name", ["cuda", "triton"])
def test_forced_gpu_backend_refuses_cpu_tensors(name):
    weights = [ones(12), ones(4)]
    with (
        dsr_kernels.backend(name),
        pytest.raises(RuntimeError, match=f"apply_mask_: the forced backend '{name}' cannot"),
    ):
        dsr_kernels.apply_mask_(weights, MASK)
    assert (weights[0] == 1).all()


def test_forced_by_environment(monkeypatch):
    monkeypatch.setenv("DSR_BACKEND", "cuda")
    with pytest.raises(RuntimeError, match="forced backend 'cuda' cannot run here"):
        dsr_kernels.apply_mask_([ones(12), ones(4)], MASK)


def test_native_module_refuses_an_unknown_dtype_code():
    native = extension.module("cpu")
    words, table = extension._buffers([MASK.words, MASK.table])
    pointer, size, _ = extension._buffer(ones(12))
    with pytest.raises(ValueError, match="dtype: expected a code"):
        native.apply_mask([(pointer, size, 99)], [0], words, table, 1)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        native.apply_mask([(pointer, size)], [0], words, table, 1)
