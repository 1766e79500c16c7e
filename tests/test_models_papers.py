"""The papers' models against the parameter counts that the papers and their code imply."""

from fractions import Fraction

import pytest
import torch
from torch import nn

import dsr
from dsr.models import lenet5, lenet_300_100, resnet50, sparse_layers, wide_resnet
from dsr_kernels import active_count

# depth, width: total, in 3x3 block convolutions, their number, shortcuts, classifier, BN
WIDE_RESNETS = {
    (28, 2): (1_467_610, 1_451_520, 24, 10_752, 1_290, 3_616),
    (16, 8): (10_961_370, 10_782_720, 12, 165_888, 5_130, 7_200),
    (16, 10): (17_116_634, 16_842_240, 12, 258_560, 6_410, 8_992),
    (22, 8): (17_158_106, 16_975_872, 18, 165_888, 5_130, 10_784),
    (28, 8): (23_354_842, 23_169_024, 24, 165_888, 5_130, 14_368),
}
THIN = {0.75: 209_130, 0.98: 356_376, 1.15: 491_845, 1.33: 652_093, 1.47: 795_477}
TRAINABLE = {"0.9": 161_242, "0.8": 306_394, "0.7": 451_546, "0.6": 596_698, "0.5": 741_850}


def on_meta(build, *args, **kwargs):
    """Shapes only: nothing is allocated or drawn."""
    with torch.device("meta"):
        return build(*args, **kwargs)


def total(model):
    return sum(p.numel() for p in model.parameters())


def of_kind(model, kind, name=""):
    """Parameters of the modules of one kind whose name contains ``name``."""
    modules = [m for n, m in model.named_modules() if isinstance(m, kind) and name in n]
    return sum(p.numel() for m in modules for p in m.parameters())


def sparse_sizes(model, paper="dsr"):
    parameters = dict(model.named_parameters())
    return [parameters[name].numel() for name in sparse_layers(model, paper)]


@pytest.mark.parametrize("size", WIDE_RESNETS, ids=str)
def test_wide_resnet_counts(size):
    whole, blocks, tensors, shortcuts, classifier, norm = WIDE_RESNETS[size]
    model = on_meta(wide_resnet, *size)
    assert total(model) == whole
    assert of_kind(model, nn.Conv2d) == blocks + shortcuts + 432
    assert of_kind(model, nn.Conv2d, "shortcut") == shortcuts
    assert model.conv1.weight.numel() == 432
    assert of_kind(model, nn.Linear) == classifier
    assert of_kind(model, nn.BatchNorm2d) == norm
    sizes = sparse_sizes(model)
    assert (sum(sizes), len(sizes)) == (blocks, tensors)


@pytest.mark.parametrize("width", THIN)
def test_thin_dense_counts(width):
    assert total(on_meta(wide_resnet, 28, width)) == THIN[width]


@pytest.mark.parametrize("sparsity", TRAINABLE)
def test_trainable_parameters_of_sparse_wide_resnet(sparsity):
    model = on_meta(wide_resnet, 28, 2)
    sparse = sum(sparse_sizes(model))
    assert total(model) - sparse == 16_090
    assert total(model) - sparse + active_count(sparse, float(sparsity)) == TRAINABLE[sparsity]
    # A method rounds tensor by tensor, so the network may be a few weights larger.
    drawn = sum(active_count(n, float(sparsity)) for n in sparse_sizes(model))
    assert 0 <= drawn - (1 - Fraction(sparsity)) * sparse < 24


def test_resnet50_counts():
    model = on_meta(resnet50)
    convolutions = {"conv1": 9_408, "layer": 20_676_608 + 2_768_896, "downsample": 2_768_896}
    assert total(model) == 25_557_032
    assert model.conv1.weight.numel() == convolutions["conv1"]
    assert of_kind(model, nn.Conv2d, "layer") == convolutions["layer"]
    assert of_kind(model, nn.Conv2d, "downsample") == convolutions["downsample"]
    assert (model.fc.weight.numel(), model.fc.bias.numel()) == (2_048_000, 1_000)
    assert of_kind(model, nn.BatchNorm2d) == 53_120
    sizes = sparse_sizes(model)
    assert (sum(sizes), len(sizes)) == (22_724_608, 49)


@pytest.mark.parametrize(("sparsity", "millions"), [(0.8, 7.377), (0.9, 5.105)])
def test_trainable_parameters_of_sparse_resnet50(sparsity, millions):
    model = on_meta(resnet50)
    sparse = sum(sparse_sizes(model))
    trainable = total(model) - sparse + active_count(sparse, sparsity)
    assert round(trainable / 1e6, 3) == millions


@pytest.mark.parametrize(("width", "parameters"), [(0.54, 8_167_095), (0.46, 5_771_217)], ids=str)
def test_thin_resnet50_counts(width, parameters):
    assert total(on_meta(resnet50, width=width)) == parameters


def test_preactivation_resnet50_differs_in_normalisation_only():
    model = on_meta(resnet50, preactivation=True)
    assert total(model) == 25_549_352
    assert of_kind(model, nn.BatchNorm2d) == 45_440
    assert sparse_layers(model) == sparse_layers(on_meta(resnet50))


def test_resnet50_strides_are_on_the_3x3_convolutions():
    for preactivation in (False, True):
        model = on_meta(resnet50, preactivation=preactivation)
        strided = [
            name
            for name, m in model.named_modules()
            if isinstance(m, nn.Conv2d) and m.stride == (2, 2) and "layer" in name
        ]
        expected = [f"layer{i}.0.{n}" for i in (2, 3, 4) for n in ("conv2", "downsample.0")]
        assert strided == expected


def test_lenet5_counts():
    model = on_meta(lenet5)
    assert total(model) == 431_080
    weights = [500, 25_000, 400_000, 5_000]
    assert sum(weights) == 430_500
    for paper in ("dsr", "snfs", "dst"):
        assert sparse_sizes(model, paper) == weights


def test_lenet_300_100_is_sparse_in_all_three_layers():
    assert sparse_sizes(on_meta(lenet_300_100)) == [235_200, 30_000, 1_000]


@pytest.mark.parametrize("paper", ["snfs", "dst"])
def test_fully_sparse_papers_leave_no_weight_dense(paper):
    for build in (lambda: wide_resnet(16, 8), resnet50):
        model = on_meta(build)
        weights = [f"{n}.weight" for n, m in model.named_modules() if kind_of_weight(m)]
        assert sparse_layers(model, paper) == weights
        assert weights[0] == "conv1.weight"
        assert weights[-1] == "fc.weight"


def kind_of_weight(module):
    return isinstance(module, (nn.Conv2d, nn.Linear))


def test_partially_dense_is_the_set_of_dsr():
    for build in (lambda: wide_resnet(28, 2), resnet50):
        model = on_meta(build)
        assert sparse_layers(model, "snfs-partially-dense") == sparse_layers(model, "dsr")


def test_sparse_layers_refuses_what_no_paper_names():
    model = on_meta(wide_resnet, 10, 1)
    with pytest.raises(ValueError, match=r"^paper: expected one of dsr, snfs-.*got 'rigl'"):
        sparse_layers(model, "rigl")
    with pytest.raises(TypeError, match=r"^model: expected one of dsr\.models, got Linear"):
        sparse_layers(nn.Linear(2, 2))


def test_default_of_sparsify_leaves_the_first_convolution_dense():
    sparse = dsr.sparsify(wide_resnet(10, 1), dsr.Static(sparsity=0.5))
    names = set(sparse.masks())
    assert "conv1.weight" not in names
    assert {"group2.0.shortcut.weight", "fc.weight"} <= names
