import pytest
import torch
from torch import nn

from dsr.models import MODELS, lenet_300_100


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_registry_has_lenet():
    assert MODELS["lenet-300-100"] is lenet_300_100


@pytest.mark.parametrize(("batch_norm", "total"), [(True, 267_020), (False, 266_610)])
def test_parameter_counts_are_those_of_the_literature(batch_norm, total):
    model = lenet_300_100(batch_norm=batch_norm)
    weights = [m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear)]
    assert weights == [784 * 300, 300 * 100, 100 * 10]
    assert parameters(model) == total


def test_batch_norm_follows_every_layer_and_replaces_the_bias():
    model = lenet_300_100(64, 10)
    kinds = [type(m).__name__ for m in model]
    hidden = ["Linear", "BatchNorm1d", "ReLU"]
    assert kinds == ["Flatten", *hidden, *hidden, "Linear", "BatchNorm1d"]
    assert all(m.bias is None for m in model if isinstance(m, nn.Linear))


def test_without_batch_norm_there_are_biases():
    model = lenet_300_100(64, 10, batch_norm=False)
    assert [type(m).__name__ for m in model] == ["Flatten", *["Linear", "ReLU"] * 2, "Linear"]
    assert all(m.bias is not None for m in model if isinstance(m, nn.Linear))


@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (5, 784)])
def test_images_and_rows_give_logits(shape):
    assert lenet_300_100(classes=7)(torch.zeros(shape)).shape == (5, 7)


def test_one_class_equal_to_a_hidden_width_has_no_activation_at_the_end():
    assert not isinstance(lenet_300_100(64, classes=100)[-1], nn.ReLU)


def test_a_seed_gives_the_same_weights():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(lenet_300_100(64).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("name", ["in_features", "classes"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"^{name}: expected at least 1, got 0"):
        lenet_300_100(**{name: 0})
