"""mask_and_count_ in C++: any thread count gives the reference's bits; what it refuses."""

import re

import pytest
import torch
from native_cases import cases, check_cpu, torch_threads
from test_apply_mask_rejects import BAD, MASK, ones

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, SparseLayout, extension

# Large enough that three threads get work: below 2 ** 16 elements each the kernel uses fewer.
SHAPES = (LayerShape(200_003), LayerShape(9_001, 9), LayerShape(64, 9, 131))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_thread_counts_agree(threads, dtype):
    generator = torch.Generator().manual_seed(0)
    layout = SparseLayout(SHAPES)
    bits = [torch.rand(shape.units, generator=generator) > 0.9 for shape in SHAPES]
    mask = BitMask.from_bools(layout, bits)
    tensors = [torch.randn(shape.elements, generator=generator).to(dtype) for shape in SHAPES]
    for tensor in tensors:
        tensor[::7] = torch.nan
    wanted = [tensor.clone() for tensor in tensors]
    with dsr_kernels.backend("reference"):
        expected = dsr_kernels.mask_and_count_(wanted, mask)
    with dsr_kernels.backend("cpu"), torch_threads(threads):
        counts = dsr_kernels.mask_and_count_(tensors, mask)
    assert min(counts) > 0
    assert torch.equal(counts, expected)
    for tensor, result in zip(tensors, wanted, strict=True):
        assert torch.equal(tensor.view(torch.uint8), result.view(torch.uint8))


def test_equals_the_reference_in_every_awkward_case():
    for case in cases(3000, seed=5):
        check_cpu(case, lambda c: dsr_kernels.mask_and_count_(c.tensors, c.mask))


@pytest.mark.parametrize("name", BAD)
def test_bad_tensors(name):
    tensors, layers, error, text = BAD[name]
    with pytest.raises(error, match=re.escape(text)):
        dsr_kernels.mask_and_count_(tensors, MASK, layers)
    for tensor in [tensors] if isinstance(tensors, torch.Tensor) else tensors:
        if isinstance(tensor, torch.Tensor) and not tensor.is_meta:
            assert (tensor.to_dense() == 1).all()


def test_a_gpu_backend_says_why_there_is_none():
    with (
        dsr_kernels.backend("triton"),
        pytest.raises(RuntimeError, match=r"mask_and_count_: .*apply_mask_; the ops that prune"),
    ):
        dsr_kernels.mask_and_count_([ones(12), ones(4)], MASK)


def test_native_module_refuses_a_dtype_that_is_no_float():
    native = extension.module("cpu")
    words, table = extension._buffers([MASK.words, MASK.table])
    counts = torch.full((2,), 7)
    float_size = extension._buffer(ones(12))
    for code in (4, 5, 99):
        tensors = [float_size, (float_size[0], 4, code)]
        with pytest.raises(ValueError, match="dtype: expected a code of a float"):
            native.mask_and_count(tensors, [0, 1], words, table, extension._buffer(counts), 1)
    assert (counts == 7).all()
