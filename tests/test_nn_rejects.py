"""dsr.nn: what its modules refuse, and what they make of weight_is_masked."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import dsr
from dsr.nn.checks import STRUCTURES
from dsr_kernels import routes

MASK = torch.arange(12).view(3, 4) % 3 == 0


def linear(**options):
    torch.manual_seed(0)
    return dsr.nn.MaskedLinear.from_dense(nn.Linear(4, 3), MASK, **options)


def conv(**options):
    torch.manual_seed(0)
    mask = MASK.view(3, 4, 1, 1).expand(3, 4, 2, 2)
    return dsr.nn.MaskedConv2d.from_dense(nn.Conv2d(4, 3, 2), mask, **options)


@pytest.mark.parametrize(("make", "size"), [(linear, (2, 4)), (conv, (2, 4, 5, 5))])
def test_weight_is_masked_is_made_true(make, size):
    x, kept, module = torch.randn(size), make(), make(weight_is_masked=True)
    assert torch.equal(module.weight != 0, module.mask)
    torch.testing.assert_close(module(x), kept(x))
    for one in (kept, module):
        one.mask = one.mask & (torch.rand(one.mask.shape, generator=_seeded()) < 0.5)
    assert torch.equal(module.weight != 0, module.mask)
    torch.testing.assert_close(module(x), kept(x))
    module.load_state_dict(kept.state_dict())
    assert torch.equal(module.weight != 0, module.mask)
    module.load_state_dict({"weight": torch.ones_like(module.weight)}, strict=False)
    assert torch.equal(module.weight != 0, module.mask)
    assert (kept.weight != 0).all()


def _seeded():
    return torch.Generator().manual_seed(3)


def _pruned_bias(module):
    return prune.random_unstructured(module, "bias", 0.5)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("change", "name"),
    [
        (parametrizations.weight_norm, "weight"),
        (parametrizations.spectral_norm, "weight"),
        (parametrizations.orthogonal, "weight"),
        (nn.utils.weight_norm, "weight"),
        (nn.utils.spectral_norm, "weight"),
        (_pruned_bias, "bias"),
    ],
)
def test_a_computed_parameter_is_refused(change, name):
    message = f"module: expected its {name} to be a parameter, got one that is computed"
    with pytest.raises(ValueError, match=message):
        dsr.nn.MaskedLinear.from_dense(change(nn.Linear(4, 3)), MASK)
    with pytest.raises(ValueError, match=message):
        dsr.nn.MaskedConv2d.from_dense(change(nn.Conv2d(4, 3, 1)), MASK.view(3, 4, 1, 1))


def test_options_are_looked_at_at_construction():
    for build in (lambda **o: dsr.nn.MaskedLinear(4, 3, **o), linear, conv):
        with pytest.raises(ValueError, match=r"structure: expected one of .*, got 'blocks'"):
            build(structure="blocks")
        with pytest.raises(TypeError, match="weight_is_masked: expected a bool, got int"):
            build(weight_is_masked=1)


def test_structures_are_those_of_the_ops():
    assert STRUCTURES == routes.STRUCTURES


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"padding": "full"}, ValueError, "padding: expected an int, a pair, 'same'"),
        ({"padding": "same", "stride": 2}, ValueError, "padding: 'same' expected stride 1"),
        ({"padding": -1}, ValueError, "padding: expected .* at least 0"),
        ({"padding": 0.5}, TypeError, "padding: expected an int or a pair"),
        ({"stride": 0}, ValueError, "stride: expected .* at least 1"),
        ({"stride": (1, 2, 3)}, ValueError, "stride: expected an int or a pair"),
        ({"stride": "2"}, TypeError, "stride: expected an int or a pair"),
        ({"dilation": 0}, ValueError, "dilation: expected .* at least 1"),
        ({"kernel_size": 0}, ValueError, "kernel_size: expected .* at least 1"),
    ],
)
def test_a_convolution_that_could_never_run(options, error, message):
    with pytest.raises(error, match=message):
        dsr.nn.MaskedConv2d(**{"in_channels": 4, "out_channels": 3, "kernel_size": 3} | options)


def test_sparsify_leaves_masked_modules_alone():
    model = nn.Sequential(nn.Linear(5, 4), linear())
    with pytest.raises(TypeError, match=r"1\.weight: its MaskedLinear has a mask of its own"):
        dsr.sparsify(model, dsr.Static(0.5))
    sparse = dsr.sparsify(model, dsr.Static(0.5), exclude=dsr.nn.MaskedLinear)
    assert list(sparse.masks()) == ["0.weight"]
    model = nn.Sequential(nn.Conv2d(2, 4, 1), conv())
    with pytest.raises(TypeError, match=r"1\.weight: its MaskedConv2d has a mask of its own"):
        dsr.sparsify(model, dsr.Static(0.5))
