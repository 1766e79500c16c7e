"""masked_conv2d on every backend: forward and gradients against float64, in both formats."""

import pytest
import torch
from product_cases import DTYPES, INTERPRETED, Case, check
from torch.nn import functional

import dsr_kernels
from dsr_kernels import LayerShape, masked_conv2d

OP = "masked_conv2d"
pytestmark = pytest.mark.usefixtures("ieee")
LAST = torch.channels_last
# (size of x, size of the weight, arguments of the convolution)
SHAPES = {
    "3 x 3": ((2, 5, 7, 6), (4, 5, 3, 3), {"padding": 1}),
    "1 x 1": ((2, 33, 4, 3), (17, 33, 1, 1), {}),
    "stride 2": ((2, 3, 9, 8), (5, 3, 3, 3), {"stride": 2, "padding": 1}),
    "1 x 1, stride 2": ((2, 4, 5, 5), (3, 4, 1, 1), {"stride": 2}),
    "dilation": ((1, 3, 9, 7), (2, 3, 3, 2), {"dilation": (2, 3), "padding": (2, 1)}),
    "groups": ((2, 6, 5, 5), (4, 3, 3, 2), {"groups": 2, "padding": 1}),
    "one channel a group": ((1, 3, 5, 4), (6, 1, 2, 2), {"groups": 3, "stride": (2, 1)}),
    "same": ((1, 2, 6, 5), (3, 2, 4, 3), {"padding": "same", "dilation": (1, 2)}),
    "valid": ((1, 2, 6, 5), (3, 2, 2, 3), {"padding": "valid"}),
    "tiny": ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    "no batch": ((3, 6, 5), (4, 3, 3, 3), {"padding": 1}),
    "an empty batch": ((0, 3, 6, 5), (4, 3, 3, 3), {"padding": 1}),
}


def run(case, device, backend, hints=None, **options):
    case.to(device)

    def dense(x, weight, bias):
        return functional.conv2d(x, weight, bias, **options)

    def ours(x, weight, bias):
        return masked_conv2d(x, weight, case.mask, 0, bias, **options, **(hints or {}))

    with dsr_kernels.backend(backend):
        return check(ours, dense, case)


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name, backend, device):
    x, weight, options = SHAPES[name]
    run(Case(x, weight), device, backend, **options)


@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
@pytest.mark.parametrize("name", ["3 x 3", "groups"] if INTERPRETED else SHAPES)
def test_dtypes(name, dtype, backend, device):
    x, weight, options = SHAPES[name]
    run(Case(x, weight, dtype=dtype), device, backend, **options)


@pytest.mark.parametrize("weight_last", [False, True])
@pytest.mark.parametrize("x_last", [False, True])
@pytest.mark.parametrize("name", ["groups"] if INTERPRETED else ["3 x 3", "stride 2", "groups"])
def test_memory_formats(name, x_last, weight_last, backend, device):
    x, weight, options = SHAPES[name]
    case = Case(x, weight, seed=1, order=LAST if weight_last else torch.contiguous_format)
    if x_last:
        case.x = case.x.contiguous(memory_format=LAST)
    output, grad_x, grad_weight, _ = run(case, device, backend, **options)
    assert output.is_contiguous(memory_format=LAST) == (x_last or weight_last)
    assert grad_x.is_contiguous(memory_format=LAST) == x_last
    assert grad_weight.stride() == case.weight.stride()


@pytest.mark.parametrize("sparsity", [0.0, 0.9, 1.0])
def test_sparsities(sparsity, backend, device):
    x, weight, options = SHAPES["3 x 3"]
    run(Case(x, weight, sparsity=sparsity, seed=2), device, backend, **options)


@pytest.mark.parametrize(
    ("units", "order"),
    [
        (LayerShape(5 * 3, 9), torch.contiguous_format),
        (LayerShape(5, 9, 3), LAST),
        (LayerShape(5, 27), torch.contiguous_format),
    ],
    ids=["slices", "channels_last slices", "filters"],
)
def test_groups_of_weights(units, order, backend, device):
    x, weight, options = SHAPES["stride 2"]
    run(Case(x, weight, units=units, seed=3, order=order), device, backend, **options)


@pytest.mark.parametrize("structure", ["tiles", "channels"])
def test_what_is_said_of_the_zeros_changes_no_result(structure, backend, device):
    case = Case((1, 40, 5, 5), (70, 40, 2, 2), sparsity=0.9, seed=4)
    flags = case.flags
    flags[:64, :20] = flags[:, 7] = flags[3] = False
    case.mask = dsr_kernels.BitMask.from_bools(case.mask.layout, [flags.flatten()])
    case.dense = case.weight.masked_fill(~flags, 0.0)
    case.weight = case.weight.masked_fill(~flags, float("inf"))
    run(case, device, backend, {"structure": structure}, padding=1)


def test_a_weight_that_is_masked_already(backend, device):
    x, weight, options = SHAPES["3 x 3"]
    case = Case(x, weight, seed=5)
    case.weight = case.dense
    run(case, device, backend, {"weight_is_masked": True}, **options)


def test_inputs_with_any_strides(backend, device):
    case = Case((2, 3, 9, 8), (5, 3, 3, 3), seed=6)
    case.x = case.normal(9, 8, 2, 3).permute(2, 3, 0, 1)[:, :, ::2]
    run(case, device, backend, stride=2, padding=1)
