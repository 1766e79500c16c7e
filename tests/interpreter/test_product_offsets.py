"""Weights of 2**31 elements and more have offsets in int64; here small ones are given them too."""

import pytest
import torch
import triton.language as tl
from product_cases import Case

import dsr_kernels
from dsr_kernels import LayerShape, masked_conv2d, masked_linear
from dsr_kernels.triton_kernels import masked_conv2d as conv
from dsr_kernels.triton_kernels import masked_linear as linear
from dsr_kernels.triton_kernels import product_tuning, tile_lists


def test_int32_ends_where_it_must():
    assert product_tuning.offset_type([2**31 - 1, 1, 1]) == tl.int32
    assert product_tuning.offset_type([2**15, 2**8, 2**8]) == tl.int64


@pytest.mark.parametrize("structure", ["unstructured", "channels"])
@pytest.mark.parametrize(
    ("x", "weight", "units"),
    [
        ((5, 64), (40, 64), None),
        ((5, 40), (12, 40), LayerShape(12, 4, 10)),
        ((1, 32, 4, 4), (6, 32, 3, 3), None),
    ],
    ids=["strips", "groups", "convolution"],
)
def test_wide_offsets_give_the_same_bits(x, weight, units, structure, monkeypatch):
    order = torch.channels_last if len(weight) == 4 else torch.contiguous_format
    case = Case(x, weight, units=units, order=order)
    function = masked_linear if len(weight) == 2 else masked_conv2d
    results = []
    for offsets in (tl.int32, tl.int64):
        for module in (linear, conv, tile_lists):
            monkeypatch.setattr(module, "offset_type", lambda units, kind=offsets: kind)
        tile_lists._kept.clear()
        inputs = [case.x.clone().requires_grad_(), case.weight.clone().requires_grad_()]
        with dsr_kernels.backend("triton"):
            output = function(*inputs, case.mask, structure=structure)
            grads = torch.autograd.grad(output, inputs, torch.ones_like(output))
        results.append([output, *grads])
    for narrow, wide in zip(*results, strict=True):
        assert torch.equal(narrow, wide)


def test_float64_is_refused_by_name():
    case = Case((2, 3), (4, 3), torch.float64)
    with (
        dsr_kernels.backend("triton"),
        pytest.raises(TypeError, match="x: the Triton kernels take float32, bfloat16 and float16"),
    ):
        masked_linear(case.x, case.weight, case.mask)
