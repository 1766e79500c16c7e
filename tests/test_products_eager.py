"""The products without torch's dispatcher: where it is passed by, and where it must not be."""

import pytest
import torch
from product_cases import Case

from dsr_kernels import BitMask, LayerShape, SparseLayout, masked_conv2d, masked_linear, products
from dsr_kernels.library.masking import mask_, masked_weight


class Named(torch.Tensor):
    """A tensor of another type, as a wrapper is."""


def step(x, weight, mask, bias):
    output = masked_linear(x, weight, mask, 0, bias)
    return [output.detach(), *torch.autograd.grad(output.square().sum(), (x, weight, bias))]


def leaves(case, device):
    case.to(device)
    return [t.detach().clone().requires_grad_() for t in (case.x, case.weight, case.bias)]


def test_results_are_those_of_the_ops(monkeypatch, device):
    case = Case((3, 7), (5, 7))
    x, weight, bias = leaves(case, device)
    ours = step(x, weight, case.mask, bias)
    monkeypatch.setattr(products, "is_plain", lambda args: False)
    for one, other in zip(ours, step(x, weight, case.mask, bias), strict=True):
        assert torch.equal(one, other)


def test_the_dispatcher_is_passed_by_for_ordinary_tensors(device):
    case = Case((3, 7), (5, 7))
    tensors = [t.to(device) for t in (case.x, case.weight, case.bias)]
    assert products.is_plain([*tensors, None, [1, 2], "tiles"])
    assert products.is_plain([torch.nn.Parameter(tensors[1])])


@pytest.mark.parametrize(
    "tensor", [torch.ones(2).as_subclass(Named), torch.ones(2, device="meta")], ids=["type", "meta"]
)
def test_other_tensors_go_through_it(tensor):
    assert not products.is_plain([torch.ones(2), tensor])


def test_modes_transforms_and_traces_are_noticed():
    class Mode(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            return function(*args, **(kwargs or {}))

    seen = []

    def look(x):
        seen.append(products.is_plain([torch.ones(2)]))
        return x * 2

    with Mode():
        look(torch.ones(2))
    torch.func.vmap(look)(torch.ones(2))
    torch.jit.trace(look, torch.ones(2), check_trace=False)
    with torch._subclasses.fake_tensor.FakeTensorMode():
        look(torch.ones(2))
    assert seen == [False] * 4


def test_several_gradients_of_the_output_at_once():
    case = Case((3, 7), (5, 7))
    x, weight = case.x.requires_grad_(), case.weight.requires_grad_()
    output = masked_linear(x, weight, case.mask)
    grads = torch.randn(2, 3, 5)
    batched = torch.autograd.grad(
        output, (x, weight), grads, is_grads_batched=True, retain_graph=True
    )
    for i, grad in enumerate(grads):
        alone = torch.autograd.grad(output, (x, weight), grad, retain_graph=True)
        for one, other in zip(batched, alone, strict=True):
            torch.testing.assert_close(one[i], other)


def test_without_gradients_nothing_is_recorded(device):
    case = Case((2, 4, 6, 5), (6, 4, 3, 3)).to(device)
    weight = case.weight.clone().requires_grad_()
    with torch.no_grad():
        assert masked_conv2d(case.x, weight, case.mask).grad_fn is None
    assert not masked_conv2d(case.x, case.weight, case.mask).requires_grad
    with torch.inference_mode():
        assert masked_conv2d(case.x, weight, case.mask).is_inference()


@pytest.mark.parametrize(
    "units",
    [LayerShape(1000), LayerShape(40, 25), LayerShape(8, 5, 25), LayerShape(0), LayerShape(64)],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("active", [0.0, 0.5, 1.0])
def test_a_masked_copy_is_a_selection(units, dtype, active):
    torch.manual_seed(0)
    mask = BitMask.from_bools(SparseLayout((units,)), [torch.rand(units.units) < active])
    weight = torch.full((units.elements,), float("nan"), dtype=dtype)
    flags = mask.layer_elements(0)
    weight[flags] = torch.randn(int(flags.sum())).to(dtype)
    before = weight.clone()
    shape = [units.outer, units.unit_size, units.inner]
    expected = torch.where(flags, weight, 0.0)
    masked = masked_weight(weight, mask.words, shape, is_masked=False)
    assert torch.equal(masked, expected)
    assert not torch.signbit(masked[~flags]).any()
    assert torch.equal(weight.nan_to_num(7), before.nan_to_num(7))
    assert torch.equal(mask_(weight, mask.words, shape), expected)
