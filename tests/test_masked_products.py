"""The products as autograd ops: gradcheck, opcheck, autocast, compile, what is computed."""

import pytest
import torch
from product_cases import Case
from torch.utils._python_dispatch import TorchDispatchMode

import dsr_kernels
from dsr_kernels import masked_conv2d, masked_linear
from dsr_kernels.schema import GRADIENTS

CONV = {"stride": (2, 1), "padding": (0, 1), "dilation": (1, 2), "groups": 2}
NAMES = ("linear", "conv2d")


def product(name, dtype=torch.float32, **options):
    """A case and ``function(x, weight, bias)`` for one of the products."""
    if name == "linear":
        case = Case((3, 7), (5, 7), dtype, **options)
        return case, lambda x, w, b: masked_linear(x, w, case.mask, 0, b)
    case = Case((2, 4, 6, 5), (6, 2, 3, 2), dtype, **options)
    return case, lambda x, w, b: masked_conv2d(x, w, case.mask, 0, b, **CONV)


def leaves(case):
    return [t.detach().clone().requires_grad_() for t in (case.x, case.weight, case.bias)]


class Calls(TorchDispatchMode):
    """The names of the ops that run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function._schema.name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("backend", ["reference", "library"])
@pytest.mark.parametrize("name", NAMES)
def test_gradcheck(name, backend, device):
    case, function = product(name, torch.float64)
    case.to(device)
    case.weight = case.dense  # finite differences need finite numbers
    with dsr_kernels.backend(backend):
        assert torch.autograd.gradcheck(function, leaves(case), fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_double_backward_is_refused_by_name(name, device):
    case, function = product(name)
    x, weight, bias = leaves(case.to(device))
    output = function(x, weight, bias)
    for wanted in (x, weight):
        (grad,) = torch.autograd.grad(output.square().sum(), wanted, create_graph=True)
        with pytest.raises(RuntimeError, match=f"masked_{name}: there is no double backward"):
            grad.nansum().backward()


@pytest.mark.parametrize(("x_wants", "weight_wants"), [(True, False), (False, True)])
@pytest.mark.parametrize("name", NAMES)
def test_only_the_gradients_asked_for_are_computed(name, x_wants, weight_wants, device):
    case, function = product(name)
    case.to(device)
    x, weight = case.x.requires_grad_(x_wants), case.weight.requires_grad_(weight_wants)
    output = function(x, weight, case.bias)
    saved = output.grad_fn.saved_tensors
    assert sum(t is not None and t.is_floating_point() for t in saved) == 1
    with Calls() as calls:
        output.backward(torch.ones_like(output))
    ours = [call for call in calls.names if call.startswith("dsr_kernels")]
    suffix = "input" if x_wants else "weight"
    assert ours == [f"dsr_kernels::masked_{name}_grad_{suffix}"]


@pytest.mark.parametrize("name", NAMES)
def test_a_mask_that_changes_before_backward_is_noticed(name, device):
    case, function = product(name)
    x, weight, bias = leaves(case.to(device))
    output = function(x, weight, bias)
    previous = case.mask.clone()
    one = torch.ones(1, dtype=torch.int64, device=device)
    dsr_kernels.grow_random_(case.mask, previous, one, seed=0, reallocation=one)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_autocast(name, dtype, device):
    case, function = product(name)
    x, weight, bias = leaves(case.to(device))
    with torch.autocast(device.type, dtype):
        output = function(x, weight, bias)
    assert output.dtype == dtype
    low = [t.detach().to(dtype).requires_grad_() for t in (x, weight, bias)]
    expected = function(*low)
    assert torch.equal(output, expected)
    grads = torch.autograd.grad(output.sum(), (x, weight, bias))
    for grad, other in zip(grads, torch.autograd.grad(expected.sum(), low), strict=True):
        assert grad.dtype == torch.float32
        assert torch.equal(grad, other.float())


def test_autocast_leaves_float64_alone(device):
    case, function = product("linear", torch.float64)
    case.to(device)
    with torch.autocast(device.type, torch.bfloat16):
        assert function(case.x, case.weight, case.bias).dtype == torch.float64


@pytest.mark.parametrize("compiler", ["aot_eager", "inductor"])
@pytest.mark.parametrize("name", NAMES)
def test_forward_and_backward_compile_without_a_break(name, compiler, device):
    case, function = product(name)
    case.to(device)

    def step(x, weight, bias):
        with torch.autocast(device.type, torch.bfloat16):
            output = function(x, weight, bias)
        return output.float().relu()

    torch._dynamo.reset()
    compiled = torch.compile(step, backend=compiler, fullgraph=True)
    eager_inputs, inputs = leaves(case), leaves(case)
    expected, output = step(*eager_inputs), compiled(*inputs)
    torch.testing.assert_close(output, expected)
    expected.sum().backward()
    output.sum().backward()
    for one, other in zip(inputs, eager_inputs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def gradient_inputs(name, device):
    """Arguments of a gradient op of a small product."""
    case, function = product(name.removeprefix("masked_").partition("_")[0])
    case.to(device)
    words, shape = case.mask.layer_words(0), case.mask.layout.layers[0]
    units = [shape.outer, shape.unit_size, shape.inner]
    grad = torch.randn_like(function(case.x, case.weight, case.bias))
    if name.endswith("grads"):
        place = [[2, 1], [0, 1], [1, 2], 2]
        return [grad, case.x, case.weight, words, units, *place, False, "unstructured"]
    to_input, conv = name.endswith("input"), "conv" in name
    args = [grad, case.weight if to_input else case.x, words, units]
    if conv:
        args += [list(case.x.shape), False] if to_input else [list(case.weight.shape)]
    if not to_input:
        args.append(list(case.weight.stride()))
    if conv:
        args += [[2, 1], [0, 1], [1, 2], 2]
    return [*args, *([False] if to_input else []), "unstructured"]


@pytest.mark.parametrize("name", [name for name in GRADIENTS if name.startswith("masked")])
def test_opcheck_of_the_gradients(name, device):
    op = getattr(torch.ops.dsr_kernels, name).default
    torch.library.opcheck(op, gradient_inputs(name, device))


def copies(function, x, weight):
    """Sizes of what is copied in forward and backward; a clone counts twice."""
    with torch.profiler.profile(record_shapes=True) as profile:
        output = function(x, weight)
        torch.autograd.grad(output, (x, weight), torch.ones_like(output))
    names = ("aten::clone", "aten::copy_")
    return [event.input_shapes[0] for event in profile.events() if event.name in names]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last], ids=str)
def test_nothing_is_copied(order, masked, device):
    case = Case((4, 8, 6, 6), (16, 8, 3, 3), order=order).to(device)
    x = case.x.contiguous(memory_format=order).requires_grad_()
    weight = case.dense.requires_grad_()
    theirs = copies(lambda x, w: torch.conv2d(x, w, padding=1), x, weight)
    ours = copies(
        lambda x, w: masked_conv2d(x, w, case.mask, padding=1, weight_is_masked=masked), x, weight
    )
    assert sorted(ours) == sorted(theirs)  # the C++ kernel masks while it copies the weight
