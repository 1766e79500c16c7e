"""dsr.nn: the masked modules beside the dense ones they stand for."""

import copy

import pytest
import torch
from torch import nn

import dsr
from dsr_kernels import LayerShape

LAST = torch.channels_last
pytestmark = pytest.mark.usefixtures("ieee")


def linear(device="cpu", **options):
    torch.manual_seed(0)
    dense, mask = nn.Linear(7, 5), torch.rand(5, 7) < 0.4
    module = dsr.nn.MaskedLinear.from_dense(dense.to(device), mask.to(device), **options)
    return module, torch.randn(3, 7).to(device)


def conv(device="cpu", mask=None, **options):
    torch.manual_seed(0)
    dense = nn.Conv2d(4, 6, 3, padding=1, groups=2, stride=2)
    mask = torch.rand(6, 2, 3, 3) < 0.4 if mask is None else mask
    module = dsr.nn.MaskedConv2d.from_dense(dense.to(device), mask.to(device), **options)
    return module, torch.randn(2, 4, 5, 5).to(device)


def slices():
    torch.manual_seed(1)
    return (torch.rand(6, 2, 1, 1) < 0.5).expand(6, 2, 3, 3)


@pytest.mark.parametrize("make", [linear, conv])
def test_it_computes_what_its_dense_twin_does(make, device):
    module, x = make(device)
    dense = module.to_dense()
    assert type(dense) in (nn.Linear, nn.Conv2d)
    assert torch.equal(dense.weight != 0, module.mask)
    torch.testing.assert_close(module(x), dense(x))
    for one in (module, dense):
        one(x).square().sum().backward()
    masked = dense.weight.grad.masked_fill(~module.mask, 0)
    torch.testing.assert_close(module.weight.grad, masked)
    torch.testing.assert_close(module.bias.grad, dense.bias.grad)


@pytest.mark.parametrize("make", [linear, conv])
def test_what_lies_under_the_mask_comes_back(make, device):
    module, x = make(device)
    before = module.weight.clone()
    module.mask = torch.ones_like(module.mask)
    assert torch.equal(module.weight, before)
    torch.testing.assert_close(module(x), module.to_dense()(x))
    assert torch.equal(module.to_dense().weight, before)


@pytest.mark.parametrize("make", [linear, conv])
def test_state_dicts_are_plain_and_in_logical_order(make, device):
    module, x = make(device)
    state = module.state_dict()
    assert set(state) == {"weight", "bias", "mask"}
    assert all(type(value) is torch.Tensor for value in state.values())
    other = copy.deepcopy(module)
    other.mask = ~module.mask
    if make is conv:
        other = other.to(memory_format=LAST)
    other.load_state_dict(state)
    assert torch.equal(other.mask, module.mask)
    torch.testing.assert_close(other(x), module(x))
    model = nn.Sequential(other)
    assert set(model.state_dict()) == {"0.weight", "0.bias", "0.mask"}
    model.load_state_dict(model.state_dict())


def test_state_dicts_that_do_not_fit():
    module, _ = linear()
    state = module.state_dict()
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict: \"mask\""):
        module.load_state_dict({k: v for k, v in state.items() if k != "mask"})
    for wrong, message in ((state["mask"].float(), "bool"), (state["mask"][1:], "shape")):
        with pytest.raises(RuntimeError, match=f"mask: expected.*{message}"):
            module.load_state_dict(state | {"mask": wrong})
    with pytest.raises(RuntimeError, match="Unexpected"):
        module.load_state_dict(state | {"more": state["bias"]})


def test_units_and_moves_between_memory_formats(device):
    module, x = conv(device, slices(), granularity="kernel")
    assert module.bits.layout.layers == (LayerShape(12, 9),)
    expected = module(x)
    module.to(memory_format=LAST)
    assert module.bits.layout.layers == (LayerShape(6, 9, 2),)
    assert torch.equal(module.mask.cpu(), slices())
    torch.testing.assert_close(module(x), expected)
    module, x = linear(device, granularity="element")
    rows = torch.tensor([True, False, True, False, False], device=device)[:, None].expand(5, 7)
    module = dsr.nn.MaskedLinear.from_dense(module.to_dense(), rows, granularity="row")
    assert module.bits.layout.layers == (LayerShape(5, 7),)
    assert torch.equal(module(x)[:, 1], module.bias[1].expand(3))


def test_device_and_dtype_moves(device):
    module = dsr.nn.MaskedLinear(3, 2, device="meta")
    assert module.bits.device.type == "meta"
    assert "sparsity=unknown" in repr(module)
    module = module.to_empty(device=device)
    assert module.mask.all()
    here, x = linear()
    module = copy.deepcopy(here).to(device)
    assert {module.bits.device.type, module.mask.device.type} == {device.type}
    assert torch.equal(module.mask.cpu(), here.mask)
    torch.testing.assert_close(module(x.to(device)).cpu(), here(x))
    module, x = linear(device)
    assert module.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


def test_a_weight_moved_behind_its_back_is_noticed():
    module, x = conv()
    module.weight.data = module.weight.data.contiguous(memory_format=LAST)
    with pytest.raises(RuntimeError, match="weight: expected strides"):
        module(x)
    module.mask = module.mask.new_ones(6, 2, 3, 3)
    module(x)


def test_repr():
    module, _ = linear()
    active = module.mask.float().mean().item()
    assert repr(module) == (
        f"MaskedLinear(in_features=7, out_features=5, bias=True, sparsity={1 - active:.4g})"
    )
    module, _ = conv(mask=slices(), granularity="kernel")
    assert "stride=(2, 2), padding=(1, 1), groups=2, granularity='kernel', sparsity=" in repr(
        module
    )
    assert "sparsity=0)" in repr(dsr.nn.MaskedLinear(0, 2, bias=False))


@pytest.mark.parametrize("make", [linear, conv])
def test_compiles_as_a_whole(make, device):
    module, x = make(device)
    torch._dynamo.reset()
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), module(x))


def test_bad_input():
    mask, build = torch.ones(2, 3) > 0, dsr.nn.MaskedLinear
    for options, error, message in (
        ({"mask": mask.float()}, TypeError, "mask: expected a bool tensor"),
        ({"mask": mask.t()}, ValueError, r"mask: expected shape \[2, 3\], got \[3, 2\]"),
        ({"granularity": "kernel"}, ValueError, "granularity: expected one of element, row"),
        (
            {"mask": torch.arange(6).view(2, 3) > 1, "granularity": "row"},
            ValueError,
            "mask: expected each unit of 3 weights",
        ),
    ):
        with pytest.raises(error, match=message):
            build(3, 2, **options)
    with pytest.raises(TypeError, match=r"module: expected a torch.nn.Linear, got Conv2d"):
        build.from_dense(nn.Conv2d(1, 1, 1), mask)
    with pytest.raises(TypeError, match="options: expected some of granularity"):
        build.from_dense(nn.Linear(3, 2), mask, bits=1)
    build = dsr.nn.MaskedConv2d.from_dense
    with pytest.raises(TypeError, match=r"module: expected a torch.nn.Conv2d, got Linear"):
        build(nn.Linear(3, 2), mask)
    with pytest.raises(ValueError, match="module: expected padding_mode 'zeros', got 'circular'"):
        build(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), mask)
    weight = nn.Conv2d(2, 3, 2)
    weight.weight.data = weight.weight.data.permute(1, 0, 2, 3).contiguous().permute(1, 0, 2, 3)
    with pytest.raises(ValueError, match="weight: granularity 'kernel' expected a contiguous"):
        build(weight, torch.ones(3, 2, 2, 2) > 0, granularity="kernel")
