"""Weights computed from parameters: refused where they would be sparse, else left alone."""

import pytest
import torch
from nets import assert_promises, batch, mlp, train
from torch import nn
from torch.nn.utils import parametrizations

import dsr

NORMS = {"parametrized": parametrizations.weight_norm, "weight_norm": nn.utils.weight_norm}

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def _normed(name):
    model = mlp()
    NORMS[name](model[2])
    return model


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize(
    "arguments",
    [{"exclude": "2"}, {"exclude": "2.*"}, {"include": ["0", "4"]}],
    ids=["module", "glob", "include"],
)
def test_it_may_stay_dense(name, arguments):
    model = _normed(name)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    method = dsr.SET(0.5, period=1, stop=None)
    sparse = dsr.sparsify(model, method, optimizer=optimizer, **arguments)
    assert list(sparse.masks()) == ["0.weight", "4.weight"]
    train(model, sparse, optimizer, 3, each=lambda _: assert_promises(model, sparse))
    x, _ = batch(model, 9)
    with torch.no_grad():  # the older weight_norm leaves nothing to copy behind a forward with grad
        assert torch.equal(model(x), sparse.export()(x))


@pytest.mark.parametrize("name", NORMS)
def test_it_may_be_excluded_by_the_names_of_its_parameters(name):
    model = _normed(name)
    own = [name for name, _ in model.named_parameters() if name.startswith("2.")]
    sparse = dsr.sparsify(model, dsr.Static(0.5), exclude=own)
    assert list(sparse.masks()) == ["0.weight", "4.weight"]


@pytest.mark.parametrize(
    ("name", "include"),
    [
        *[(name, include) for name in NORMS for include in (None, "2", "2.weight", nn.Linear, "*")],
        ("parametrized", "*original1"),
        ("weight_norm", "*weight_v"),
    ],
)
def test_it_is_refused_where_it_would_be_sparse(name, include):
    model = _normed(name)
    with pytest.raises(ValueError, match=rf"^2.*{name}.*exclude"):
        dsr.sparsify(model, dsr.Static(0.5), include=include)


def test_types_exclude_it_too():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), parametrizations.weight_norm(nn.Conv2d(4, 4, 3)), nn.Linear(4, 4)
    )
    sparse = dsr.sparsify(model, dsr.Static(0.5), exclude=nn.Conv2d)
    assert list(sparse.masks()) == ["2.weight"]


def test_a_parametrized_buffer_is_nobodys_weight():
    model = mlp()
    model[2].register_buffer("scale", torch.ones(3))
    nn.utils.parametrize.register_parametrization(model[2], "scale", nn.ReLU())
    assert len(dsr.sparsify(model, dsr.Static(0.5)).masks()) == 3


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("bias", [True, False])
def test_it_still_counts_as_the_first_convolution(name, bias):
    first = NORMS[name](nn.Conv2d(3, 4, 3, bias=bias))
    model = nn.Sequential(first, nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 3))
    sparse = dsr.sparsify(model, dsr.Static(0.5), exclude="0")
    assert list(sparse.masks()) == ["1.weight", "2.weight"]


def _frozen(module):
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize(
    "layer",
    [
        lambda norm: norm(nn.Conv2d(3, 4, 3)),
        lambda norm: norm(nn.Embedding(5, 4)),
        lambda norm: norm(nn.Bilinear(4, 4, 4)),
        lambda norm: _frozen(norm(nn.Linear(4, 4))),
    ],
    ids=["first convolution", "embedding", "type of its own", "frozen"],
)
def test_it_is_no_hindrance_where_it_stays_dense_anyway(name, layer):
    model = nn.Sequential(layer(NORMS[name]), nn.Linear(4, 4))
    sparse = dsr.sparsify(model, dsr.Static(0.5))
    assert list(sparse.masks()) == ["1.weight"]
    listed = [*sparse.masks(), *(one.name for one, _ in sparse.selection.dense)]
    assert sorted(listed) == sorted(name for name, _ in model.named_parameters())


@pytest.mark.parametrize("include", [None, "*.bias", ["0.bias", "0.weight"]])
def test_a_parametrized_bias_leaves_the_weight_free(include):
    model = mlp()
    nn.utils.parametrize.register_parametrization(model[0], "bias", nn.ReLU())
    if include == "*.bias":
        with pytest.raises(ValueError, match=r"no layer to make sparse .*0\.weight: not included"):
            dsr.sparsify(model, dsr.Static(0.5), include=include)
        return
    assert "0.weight" in dsr.sparsify(model, dsr.Static(0.5), include=include).masks()


class Scaled(nn.Module):
    """A parametrization with a trainable parameter of its own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, weight):
        return weight * self.scale


@pytest.mark.parametrize("include", [None, "2"])
def test_one_that_trains_through_any_of_its_parameters_is_refused(include):
    model = mlp()
    nn.utils.parametrize.register_parametrization(_frozen(model[2]), "weight", Scaled())
    with pytest.raises(ValueError, match=r"^2: its parameters are parametrized"):
        dsr.sparsify(model, dsr.Static(0.5), include=include)


def test_a_norm_of_the_whole_weight_is_refused():
    model = mlp()
    parametrizations.weight_norm(model[2], dim=None)
    with pytest.raises(ValueError, match=r"^2: its parameters are parametrized"):
        dsr.sparsify(model, dsr.Static(0.5), include="2")


@pytest.mark.parametrize("name", NORMS)
def test_another_parameter_of_its_module_may_be_sparse(name):
    model = _normed(name)
    model[2].table = nn.Parameter(torch.randn(4, 4))
    sparse = dsr.sparsify(model, dsr.Static(0.5), include="2.table")
    assert list(sparse.masks()) == ["2.table"]


def test_its_module_goes_by_the_type_it_was_given():
    model = nn.Sequential(nn.Bilinear(4, 4, 4))
    nn.utils.parametrize.register_parametrization(model[0], "bias", nn.ReLU())
    text = r"0\.weight: weight of Bilinear; .* the type itself, .* by include=: Bilinear$"
    with pytest.raises(ValueError, match=text):
        dsr.sparsify(model, dsr.Static(0.5))
    sparse = dsr.sparsify(model, dsr.Static(0.5), include=nn.Bilinear)
    assert list(sparse.masks()) == ["0.weight"]


def test_a_module_that_has_no_norm_yet_is_none_under_it():
    model = mlp()
    model[2].register_parameter("weight_g", None)
    model[2].register_parameter("weight_v", None)
    assert len(dsr.sparsify(model, dsr.Static(0.5)).masks()) == 3
