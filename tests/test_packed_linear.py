"""packed_linear: the same numbers as the dense product, from the packed weight alone."""

import pytest
import torch
from product_cases import Case, assert_close_enough
from torch.nn import functional

import dsr_kernels
from dsr_kernels import LayerShape, pack, packed_linear
from dsr_kernels.schema import GRADIENTS

OP = "packed_linear"
SHAPES = {
    "ragged": ((3, 5), 37, 45, None),
    "one row": ((1,), 4, 7, None),
    "a vector": ((), 4, 7, None),
    "rows": ((6,), 12, 40, LayerShape(12, 40)),
    "columns": ((6,), 12, 40, LayerShape(1, 12, 40)),
    "no rows": ((0,), 4, 7, None),
}


def make(name, device, dtype=torch.float32, sparsity=0.5):
    """A case, its packed weight, and ``function(x, values, bias)``."""
    lead, outs, ins, units = SHAPES[name]
    case = Case((*lead, ins), (outs, ins), dtype, units, sparsity).to(device)
    values, ranks = pack(case.dense, case.mask)
    return case, values, lambda x, v, b: packed_linear(x, v, ranks, case.mask, 0, b, outs=outs)


def leaves(*tensors):
    return [t.detach().clone().requires_grad_() for t in tensors]


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", SHAPES)
def test_output_and_gradients(name, dtype, sparsity, backend, device):
    case, values, function = make(name, device, dtype, sparsity)
    inputs = leaves(case.x, values, case.bias)
    with dsr_kernels.backend(backend):
        output = function(*inputs)
        grad = torch.randn_like(output)
        found = [output, *torch.autograd.grad(output, inputs, grad)]

    def dense(kind):
        inputs = leaves(*(t.to(kind) for t in (case.x, case.dense, case.bias)))
        output = functional.linear(*inputs)
        results = [output, *torch.autograd.grad(output, inputs, grad.to(kind))]
        results[2] = pack(results[2].contiguous(), case.mask)[0]
        return results

    names = ("output", "x", "values", "bias")
    results = (found, dense(dtype), dense(torch.float64))
    for place, ours, theirs, exact in zip(names, *results, strict=True):
        assert ours.shape == exact.shape
        if exact.numel():
            assert_close_enough(ours.detach(), theirs, exact, place)


def test_gradcheck(backend, device):
    case, values, function = make("ragged", device, torch.float64)
    with dsr_kernels.backend(backend):
        inputs = leaves(case.x, values, case.bias)
        assert torch.autograd.gradcheck(function, inputs, fast_mode=True)


def test_backward_keeps_x_and_the_packed_weight_alone(device):
    case, values, function = make("ragged", device, sparsity=0.9)
    x, values, bias = leaves(case.x, values, case.bias)
    output = function(x, values, bias)
    kept = [t for t in output.grad_fn.saved_tensors if t is not None]
    assert {t.data_ptr() for t in kept if t.is_floating_point()} == {
        x.data_ptr(),
        values.data_ptr(),
    }
    assert sum(t.nbytes for t in kept if t is not None) < x.nbytes + case.dense.nbytes // 4
    output = function(x.detach(), values, bias)
    kept = [t for t in output.grad_fn.saved_tensors if t is not None and t.is_floating_point()]
    assert [t.data_ptr() for t in kept] == [x.data_ptr()]


@pytest.mark.parametrize("asked", [(0,), (1,), (2,)], ids=["x", "values", "bias"])
def test_one_gradient_at_a_time(asked, device):
    case, values, function = make("ragged", device)
    every = leaves(case.x, values, case.bias)
    expected = torch.autograd.grad(function(*every).sum(), every)
    some = [t.detach().requires_grad_(i in asked) for i, t in enumerate(every)]
    (found,) = torch.autograd.grad(function(*some).sum(), [some[i] for i in asked])
    assert torch.equal(found, expected[asked[0]])


def test_double_backward_autocast_and_compile(device):
    case, values, function = make("ragged", device)
    x, values, bias = leaves(case.x, values, case.bias)
    (grad,) = torch.autograd.grad(function(x, values, bias).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="packed_linear: there is no double backward"):
        grad.sum().backward()
    with torch.autocast(device.type, torch.bfloat16):
        assert function(x, values, bias).dtype == torch.bfloat16
    torch._dynamo.reset()
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    compiled(x, values, bias).sum().backward()
    assert values.grad is not None


@pytest.mark.parametrize("name", [n for n, s in GRADIENTS.items() if s.gradient_of == OP])
def test_opcheck_of_the_gradients(name, device):
    case, values, _ = make("ragged", device)
    words, units = case.mask.layer_words(0), [37 * 45, 1, 1]
    grad, ranks = torch.randn(3, 5, 37, device=device), pack(case.dense, case.mask)[1]
    args = [grad, case.x, words, units, len(values)]
    if name.endswith("input"):
        args = [grad, values, ranks, words, units, 45]
    torch.library.opcheck(getattr(torch.ops.dsr_kernels, name).default, args)


def test_rejects(device):
    case, values, _ = make("ragged", device)
    _, ranks = pack(case.dense, case.mask)
    good = {"x": case.x, "values": values, "ranks": ranks, "mask": case.mask, "outs": 37}
    packed_linear(**good)
    for change, error, message in (
        ({"outs": 36}, ValueError, "x: expected a last size that gives 1665 weights"),
        ({"outs": 37.0}, TypeError, "outs: expected an int, got float"),
        ({"x": case.x[..., 1:]}, ValueError, "x: expected a last size"),
        ({"x": case.x.half()}, TypeError, "values: expected torch.float16 as x"),
        ({"values": values[None]}, ValueError, "values: expected a contiguous vector"),
        ({"values": values[:-1]}, ValueError, "values: expected .* of them for the active"),
        ({"ranks": ranks[:-1]}, ValueError, "ranks: expected a contiguous tensor"),
        ({"mask": None}, TypeError, "mask: expected a BitMask"),
        ({"bias": case.bias[1:]}, ValueError, r"bias: expected shape \[37\]"),
    ):
        with pytest.raises(error, match=message):
            packed_linear(**good | change)
