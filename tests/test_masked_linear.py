"""masked_linear on every backend: forward and gradients against float64, whatever lies below."""

import pytest
import torch
from product_cases import DTYPES, MASKS, Case, check
from torch.nn import functional

import dsr_kernels
from dsr_kernels import LayerShape, masked_linear

OP = "masked_linear"
# (leading sizes of x, out, in)
SHAPES = {
    "aligned": ((64,), 64, 64),
    "ragged": ((3, 11), 37, 45),
    "wide": ((5,), 3, 130),
    "tall": ((2,), 130, 5),
    "one row": ((1,), 40, 33),
    "tiny": ((1,), 1, 1),
    "a vector": ((), 6, 5),
    "no rows": ((0,), 5, 7),
    "no inputs": ((3,), 4, 0),
    "no outputs": ((3,), 0, 4),
}
GROUPS = {
    "rows": LayerShape(12, 40),
    "columns": LayerShape(1, 12, 40),
    "pieces of a row": LayerShape(12 * 5, 8),
    "strided": LayerShape(12, 4, 10),
}


def case_of(name, **options):
    lead, outputs, inputs = SHAPES[name]
    return Case((*lead, inputs), (outputs, inputs), **options)


def dense(x, weight, bias):
    return functional.linear(x, weight, bias)


def run(case, device, backend, **options):
    case.to(device)

    def ours(x, weight, bias):
        return masked_linear(x, weight, case.mask, 0, bias, **options)

    with dsr_kernels.backend(backend):
        return check(ours, dense, case)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name, dtype, backend, device):
    run(case_of(name, dtype=dtype), device, backend)


@pytest.mark.parametrize("sparsity", [0.0, 0.9, 1.0])
def test_sparsities(sparsity, backend, device):
    run(case_of("ragged", sparsity=sparsity, seed=1), device, backend)


@pytest.mark.parametrize("name", GROUPS)
def test_groups(name, backend, device):
    run(Case((7, 40), (12, 40), units=GROUPS[name], seed=2), device, backend)


def test_a_weight_whose_memory_runs_down_its_columns(backend, device):
    case = Case((9, 20), (20, 37), seed=3)  # transposed: [37, 20]
    case.weight, case.flags, case.dense = (t.t() for t in (case.weight, case.flags, case.dense))
    case.bias = case.normal(37)
    found = run(case, device, backend)
    assert found[2].stride() == (1, 37)


def test_inputs_and_gradients_with_any_strides(backend, device):
    case = case_of("ragged", seed=4)
    case.x = case.normal(45, 11, 3).permute(2, 1, 0)
    run(case, device, backend)
    x = case.x.detach().requires_grad_()
    with dsr_kernels.backend(backend):
        masked_linear(x, case.weight, case.mask).sum().backward()  # a gradient of stride 0
    expected = case.dense.sum(0).expand(x.shape)
    torch.testing.assert_close(x.grad, expected)


@pytest.mark.parametrize("structure", ["unstructured", "tiles", "channels"])
def test_what_is_said_of_the_zeros_changes_no_result(structure, backend, device):
    case = Case((40, 150), (140, 150), sparsity=1.0, seed=5)
    flags = torch.zeros(140, 150, dtype=torch.bool)
    flags[64:128, :64] = True
    flags[::7, 3::50] = True
    case.mask = dsr_kernels.BitMask.from_bools(case.mask.layout, [flags.flatten()])
    case.flags, case.weight = flags, case.normal(140, 150).masked_fill_(~flags, float("nan"))
    case.dense = case.weight.masked_fill(~flags, 0.0)
    run(case, device, backend, structure=structure)


def test_a_weight_that_is_masked_already(backend, device):
    case = case_of("ragged", seed=6)
    case.weight = case.dense
    run(case, device, backend, weight_is_masked=True)


def test_a_layer_among_others(backend, device):
    layout = dsr_kernels.SparseLayout.of_elements([33, 37 * 45, 9])
    case = case_of("ragged", seed=7)
    bits = [torch.ones(33).bool(), case.flags.flatten(), torch.zeros(9).bool()]
    mask = dsr_kernels.BitMask.from_bools(layout, bits).to(device)
    case.to(device)
    with dsr_kernels.backend(backend):
        one = masked_linear(case.x, case.weight, mask, 1)
        other = masked_linear(case.x, case.weight, case.mask)
    assert torch.equal(one, other)


@pytest.mark.parametrize("name", MASKS)
def test_without_a_bias_and_twice_the_same_bits(name, backend, device):
    case = case_of("aligned", sparsity=MASKS[name]).to(device)
    with dsr_kernels.backend(backend):
        first, second = (masked_linear(case.x, case.weight, case.mask) for _ in range(2))
    assert torch.equal(first, second)
    exact = case.x.double() @ case.dense.double().t()
    torch.testing.assert_close(first.double(), exact, atol=1e-4, rtol=1e-4)
