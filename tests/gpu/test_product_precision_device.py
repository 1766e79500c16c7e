"""TF32 in the Triton products, where torch's flags allow it and nowhere else: by the error."""

import pytest
import torch
from product_cases import Case, error

import dsr_kernels
from dsr_kernels import masked_conv2d, masked_linear

MATMUL, CONV = torch.backends.cuda.matmul, torch.backends.cudnn.conv
# TF32 keeps 10 bits of each operand's mantissa, float32 23.
IEEE_AT_MOST, TF32_AT_LEAST, TF32_AT_MOST = 1e-5, 3e-5, 1e-2


@pytest.fixture
def flags():
    """torch's flags, set back afterwards."""
    before = MATMUL.fp32_precision, CONV.fp32_precision
    yield
    MATMUL.fp32_precision, CONV.fp32_precision = before


def results(function, x, weight, grad):
    inputs = [x.detach().requires_grad_(), weight.detach().requires_grad_()]
    output = function(*inputs)
    return [output.detach(), *torch.autograd.grad(output, inputs, grad.to(output.dtype))]


@pytest.mark.parametrize(
    ("product", "backend", "x", "weight", "output"),
    [
        (masked_linear, MATMUL, (128, 256), (192, 256), (128, 192)),
        (masked_conv2d, CONV, (8, 32, 12, 12), (48, 32, 3, 3), (8, 48, 10, 10)),
    ],
    ids=["linear", "conv2d"],
)
def test_the_error_is_that_of_the_precision_asked_for(
    product, backend, x, weight, output, flags, device
):
    case = Case(x, weight, sparsity=0.1)
    grad = case.normal(*output).to(device)
    case.to(device)

    def ours(x, weight):
        return product(x, weight, case.mask)

    with dsr_kernels.backend("reference"):
        exact = results(ours, case.x.double(), case.dense.double(), grad.double())
    for precision in ("ieee", "tf32"):
        backend.fp32_precision = precision
        with dsr_kernels.backend("triton"):
            found = results(ours, case.x, case.dense, grad)
        for one, truth in zip(found, exact, strict=True):
            relative = error(one, truth) / truth.abs().max().item()
            if precision == "ieee":
                assert relative <= IEEE_AT_MOST
            else:
                assert TF32_AT_LEAST <= relative <= TF32_AT_MOST
