"""The Triton products multiply float32 as torch's flags say: what they hand to their kernels."""

import pytest
import torch
from product_cases import Case

from dsr_kernels.triton_kernels import masked_conv2d as conv
from dsr_kernels.triton_kernels import masked_linear as linear

MATMUL, CONV = torch.backends.cuda.matmul, torch.backends.cudnn.conv
PLACE = ([1, 1], [0, 0], [1, 1], 1)  # stride, padding, dilation, groups


class Launches:
    """Takes a kernel's place: keeps the constants of each launch and computes nothing."""

    def __init__(self):
        self.precisions = []

    def __getitem__(self, grid):
        return self

    def __call__(self, *args, **constants):
        self.precisions.append(constants["PRECISION"])


@pytest.fixture
def launches(monkeypatch):
    found = Launches()
    for module, name in ((linear, "masked_linear"), (conv, "masked_conv2d")):
        monkeypatch.setattr(module, f"{name}_kernel", found)
        monkeypatch.setattr(module, f"{name}_grad_weight_kernel", found)
    return found


@pytest.fixture
def flags():
    """torch's flags, set back afterwards."""
    before = MATMUL.fp32_precision, CONV.fp32_precision
    yield
    MATMUL.fp32_precision, CONV.fp32_precision = before


def linear_products(dtype):
    case = Case((3, 7), (5, 7), dtype)
    words, units, grad = case.mask.layer_words(0), [35, 1, 1], case.normal(3, 5)
    linear.masked_linear(case.x, case.weight, words, None, units, False, "unstructured")
    linear.masked_linear_grad_input(grad, case.weight, words, units, False, "unstructured")
    linear.masked_linear_grad_weight(grad, case.x, words, units, (7, 1), "unstructured")


def conv_products(dtype):
    case = Case((2, 3, 5, 5), (4, 3, 2, 2), dtype)
    words, units, grad = case.mask.layer_words(0), [48, 1, 1], case.normal(2, 4, 4, 4)
    weight, x, last = case.weight, case.x, "unstructured"
    conv.masked_conv2d(x, weight, words, None, units, *PLACE, False, last)
    shape = list(x.shape)
    conv.masked_conv2d_grad_input(grad, weight, words, units, shape, False, *PLACE, False, last)
    shape, strides = list(weight.shape), list(weight.stride())
    conv.masked_conv2d_grad_weight(grad, x, words, units, shape, strides, *PLACE, last)


@pytest.mark.parametrize("wanted", ["tf32", "ieee"])
@pytest.mark.parametrize(
    ("products", "own", "other"),
    [(linear_products, MATMUL, CONV), (conv_products, CONV, MATMUL)],
)
def test_each_product_has_a_flag_of_its_own(products, own, other, wanted, flags, launches):
    own.fp32_precision = wanted
    other.fp32_precision = {"tf32": "ieee", "ieee": "tf32"}[wanted]
    products(torch.float32)
    assert launches.precisions == [wanted] * 3
    launches.precisions.clear()
    products(torch.float16)
    assert launches.precisions == ["ieee"] * 3


@pytest.mark.parametrize(("older", "wanted"), [("high", "tf32"), ("highest", "ieee")])
def test_the_older_way_to_set_it_counts_as_well(older, wanted, flags, launches):
    torch.set_float32_matmul_precision(older)
    linear_products(torch.float32)
    assert launches.precisions == [wanted] * 3
