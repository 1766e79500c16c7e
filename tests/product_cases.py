"""Inputs for the products with masked weights, and how far a result may be from the exact one."""

import os

import torch

from dsr_kernels import BitMask, LayerShape, SparseLayout

INTERPRETED = os.environ.get("DSR_TEST_INTERPRET") == "1"
# Triton's interpreter has no bfloat16 products.
DTYPES = (
    (torch.float32, torch.float16)
    if INTERPRETED
    else (torch.float32, torch.float16, torch.bfloat16)
)
SPECIAL = (float("nan"), float("inf"), -float("inf"), 1e30)
MASKS = {"random": 0.5, "full": 0.0, "all pruned": 1.0}


class Case:
    """A weight, its mask, an input and a bias; inf and NaN lie under the mask.

    ``flags`` is the mask as a bool tensor of the weight's shape, ``dense`` the weight with zeros.
    """

    def __init__(
        self,
        x,
        weight,
        dtype=torch.float32,
        units=None,
        sparsity=0.5,
        seed=0,
        order=torch.contiguous_format,
    ):
        self.generator = torch.Generator().manual_seed(seed)
        self.dtype = dtype
        self.x = self.normal(*x)
        self.weight = self.normal(*weight).contiguous(memory_format=order)
        self._draw(units or LayerShape(self.weight.numel()), sparsity)

    def normal(self, *size):
        return torch.randn(size, generator=self.generator).to(self.dtype)

    def _draw(self, units, sparsity):
        bits = torch.rand(units.units, generator=self.generator) >= sparsity
        self.mask = BitMask.from_bools(SparseLayout((units,)), [bits])
        elements = self.mask.layer_elements(0)
        self.flags = elements.as_strided(self.weight.shape, self.weight.stride())
        self.dense = self.weight.clone().masked_fill_(~self.flags, 0.0)
        self.bias = self.normal(self.weight.shape[0])
        poison = torch.tensor(SPECIAL).to(self.dtype).repeat(self.weight.numel() // 4 + 1)
        poison = poison[: self.weight.numel()].as_strided(self.weight.shape, self.weight.stride())
        self.weight.copy_(torch.where(self.flags, self.weight, poison))

    def to(self, device):
        for name in ("x", "weight", "flags", "dense", "bias", "mask"):
            setattr(self, name, getattr(self, name).to(device))
        return self


def results(function, case, weight, grad):
    """The output of ``function(x, weight, bias)`` and its three gradients."""
    inputs = [t.detach().clone().requires_grad_() for t in (case.x, weight, case.bias)]
    output = function(*inputs)
    return [output.detach(), *torch.autograd.grad(output, inputs, grad.to(output.dtype))]


def check(ours, dense, case):
    """Ours on the poisoned weight: at most twice as far off as torch's own on the dense one.

    ``ours`` and ``dense`` take (x, weight, bias). Both are compared with float64.
    """
    shape = dense(case.x, case.dense, case.bias).shape
    grad = case.normal(*shape).to(case.x.device)
    exact_case = Double(case)
    exact = results(dense, exact_case, exact_case.dense, grad.double())
    exact[2] = exact[2].masked_fill(~case.flags, 0.0)
    theirs = results(dense, case, case.dense, grad)
    theirs[2] = theirs[2].masked_fill(~case.flags, 0.0)
    found = results(ours, case, case.weight, grad)
    for name, one, other, truth in zip(
        ("output", "grad x", "grad weight", "grad bias"), found, theirs, exact, strict=True
    ):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        if truth.numel():
            assert_close_enough(one, other, truth, name)
    inactive = found[2][~case.flags]
    assert not inactive.any()
    assert not torch.signbit(inactive).any()
    return found


class Double:
    """The inputs of a case in float64."""

    def __init__(self, case):
        self.x, self.dense, self.bias = (t.double() for t in (case.x, case.dense, case.bias))


def assert_close_enough(ours, theirs, exact, name):
    scale = exact.abs().max().item()
    allowed = 2 * error(theirs, exact) + torch.finfo(ours.dtype).eps * scale
    assert error(ours, exact) <= allowed, (name, error(ours, exact), allowed)


def error(result, exact):
    return (result.double() - exact).abs().max().item()
