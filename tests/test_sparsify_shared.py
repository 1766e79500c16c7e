"""Modules and parameters that a model holds under several names are chosen by any of them."""

import pytest
from nets import mlp
from torch import nn
from torch.nn.utils import parametrizations

import dsr


class Aliased(nn.Linear):
    """A linear layer whose weight has a second name."""

    def __init__(self):
        super().__init__(12, 12)
        self.kernel = self.weight


class Shared(nn.Module):
    """One layer under two names, one block under two names, and an alias within a layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(12, 12)
        self.second = self.first
        self.block = nn.Sequential(nn.Linear(12, 12), nn.ReLU())
        self.twin = self.block
        self.aliased = Aliased()


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (None, None, ["first.weight", "block.0.weight", "aliased.weight"]),
        ("second", None, ["first.weight"]),
        ("twin.*", None, ["block.0.weight"]),
        ("*.kernel", None, ["aliased.weight"]),
        (None, ["second.weight", "twin.0"], ["aliased.weight"]),
        (nn.Linear, "aliased.kernel", ["first.weight", "block.0.weight"]),
        (["first", "second"], None, ["first.weight"]),
    ],
)
def test_it_goes_by_any_of_its_names(include, exclude, expected):
    sparse = dsr.sparsify(Shared(), dsr.Static(0.5), include=include, exclude=exclude)
    assert list(sparse.masks()) == expected


def test_every_parameter_is_listed_once_under_its_first_name():
    model = Shared()
    sparse = dsr.sparsify(model, dsr.Static(0.5))
    listed = [*sparse.masks(), *(one.name for one, _ in sparse.selection.dense)]
    assert sorted(listed) == sorted(name for name, _ in model.named_parameters())


def test_a_shared_container_is_advised_on_by_the_name_given():
    with pytest.raises(ValueError, match=r"twin only contains .* write 'twin\.\*'"):
        dsr.sparsify(Shared(), dsr.Static(0.5), include="twin")


def test_a_shared_parametrized_layer_may_stay_dense_by_either_name():
    model = mlp()
    model.add_module("again", parametrizations.weight_norm(model[4]))
    sparse = dsr.sparsify(model, dsr.Static(0.5), exclude="again")
    assert list(sparse.masks()) == ["0.weight", "2.weight"]
    with pytest.raises(ValueError, match=r"^4: its parameters are parametrized"):
        dsr.sparsify(model, dsr.Static(0.5), include="again")
