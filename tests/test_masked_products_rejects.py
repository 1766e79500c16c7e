"""What the products refuse, by the name of the argument, before anything runs."""

import pytest
import torch

from dsr_kernels import BitMask, SparseLayout, explain, masked_conv2d, masked_linear
from dsr_kernels.routes import STRUCTURES, choose_route

MASK = BitMask.ones(SparseLayout.of_elements([12, 36]))
X, WEIGHT, BIAS = torch.ones(2, 4), torch.ones(3, 4), torch.ones(3)
IMAGE, KERNEL = torch.ones(1, 2, 5, 5), torch.ones(2, 2, 3, 3)

# message -> changed arguments of masked_linear
LINEAR = {
    "x: expected a tensor, got list": {"x": [1.0]},
    "x: expected a floating dtype, got torch.int64": {"x": X.long()},
    "x: expected a strided tensor": {"x": X.to_sparse()},
    "x: expected 4 as the last size": {"x": torch.ones(4, 3)},
    r"x: expected 4 as the last size.*\[\]": {"x": torch.ones(())},
    "weight: expected a tensor, got NoneType": {"weight": None},
    "weight: expected 2 dimensions": {"weight": torch.ones(3, 4, 1)},
    r"weight: expected 12 elements \(layer 0\)": {"weight": torch.ones(2, 4)},
    "weight: expected torch.float32 as x, got torch.float16": {"weight": WEIGHT.half()},
    "weight: expected device cpu as x, got meta": {"weight": WEIGHT.to("meta")},
    "weight: expected memory without gaps": {"weight": torch.ones(3, 8)[:, ::2]},
    "mask: expected a BitMask, got Tensor": {"mask": WEIGHT > 0},
    "mask: expected device cpu as weight, got meta": {"mask": MASK.to("meta")},
    r"layer: expected a layer in \[0, 2\), got 2": {"layer": 2},
    r"layer: expected a layer in \[0, 2\), got -1": {"layer": -1},
    "layer: expected an int, got bool": {"layer": True},
    r"bias: expected shape \[3\], got \[1\]": {"bias": BIAS[:1]},
    "bias: expected torch.float32 as x": {"bias": BIAS.double()},
    "bias: expected a tensor, got int": {"bias": 1},
    "weight_is_masked: expected a bool, got int": {"weight_is_masked": 1},
    "structure: expected one of unstructured, tiles, channels, got 'rows'": {"structure": "rows"},
}
CONV = {
    r"x: expected 3 or 4 dimensions": {"x": torch.ones(2, 5)},
    r"x: expected 2 channels": {"x": torch.ones(1, 3, 5, 5)},
    "x: expected a height of at least 3": {"x": torch.ones(1, 2, 2, 5)},
    "x: expected a width of at least 9": {"dilation": (1, 4)},
    "weight: expected 4 dimensions": {"weight": torch.ones(4, 9)},
    "weight: expected 36 elements": {"weight": torch.ones(2, 2, 3, 2)},
    "mask: expected a BitMask": {"mask": None},
    "bias: expected shape": {"bias": BIAS},
    "padding: expected an int or a pair of at least 0, got -1": {"padding": -1},
    "padding: expected an int or a pair of at least 0": {"padding": (1, 2, 3)},
    "padding: expected ints": {"padding": (1, 0.5)},
    "padding: expected an int, a pair, 'same' or 'valid', got 'full'": {"padding": "full"},
    "padding: 'same' expected stride 1": {"padding": "same", "stride": 2},
    "stride: expected an int or a pair of at least 1, got 0": {"stride": 0},
    "stride: expected an int or a pair, got '1'": {"stride": "1"},
    "dilation: expected an int or a pair of at least 1": {"dilation": (1, 0)},
    "groups: expected a divisor of 2 input and 2 output channels, got 3": {"groups": 3},
    "groups: expected an int, got float": {"groups": 1.0},
    "groups: expected a divisor": {"groups": 0},
    "x: expected 4 channels": {"groups": 2},
    "structure: expected one of": {"structure": None},
}


@pytest.mark.parametrize("message", LINEAR)
def test_masked_linear(message):
    arguments = {"x": X, "weight": WEIGHT, "mask": MASK, "layer": 0, "bias": BIAS}
    assert masked_linear(**arguments).shape == (2, 3)
    with pytest.raises((TypeError, ValueError), match=message):
        masked_linear(**arguments | LINEAR[message])


@pytest.mark.parametrize("message", CONV)
def test_masked_conv2d(message):
    arguments = {"x": IMAGE, "weight": KERNEL, "mask": MASK, "layer": 1}
    assert masked_conv2d(**arguments).shape == (1, 2, 3, 3)
    with pytest.raises((TypeError, ValueError), match=message):
        masked_conv2d(**arguments | CONV[message])


def test_a_kernel_without_weights():
    mask = BitMask.ones(SparseLayout.of_elements([0]))
    with pytest.raises(ValueError, match="weight: expected a kernel of at least 1 x 1"):
        masked_conv2d(IMAGE, torch.ones(2, 2, 0, 3), mask)


def test_routes_of_structures_there_are_none_of():
    with pytest.raises(ValueError, match=f"structure: expected one of {', '.join(STRUCTURES)}"):
        choose_route("masked_linear", structure="blocks")
    with pytest.raises(ValueError, match="structure: expected one of"):
        explain("masked_linear", structure="blocks")


@pytest.mark.parametrize("dual", ["x", "weight"])
def test_forward_mode_differentiation_is_refused(dual):
    arguments = {"x": X, "weight": WEIGHT}
    with torch.autograd.forward_ad.dual_level():
        made = torch.autograd.forward_ad.make_dual(
            arguments[dual], torch.ones(()).expand_as(arguments[dual]).clone()
        )
        with pytest.raises(NotImplementedError, match="masked_linear: there is no forward-mode"):
            masked_linear(**{**arguments, dual: made}, mask=MASK)
    with pytest.raises(NotImplementedError, match="masked_linear: there is no forward-mode"):
        torch.func.jvp(lambda x: masked_linear(x, WEIGHT, MASK), (X,), (X,))
