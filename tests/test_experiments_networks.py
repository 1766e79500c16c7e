"""The data sets and networks of the command line, beyond the first of each."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer

from dsr.data import DATA, breast_cancer, digits
from dsr.experiments import RunConfig, Training
from dsr.experiments.network import build_network, network_data


def test_breast_cancer_is_split_and_standardised_by_its_training_rows():
    assert DATA["breast-cancer"] is breast_cancer
    data, bunch = breast_cancer(), load_breast_cancer()
    order = np.random.RandomState(0).permutation(569)
    assert data.train_images.shape == (409, 30)
    assert data.test_images.shape == (160, 30)
    assert (data.features, data.classes) == (30, 2)
    assert torch.cat([data.train_labels, data.test_labels]).tolist() == bunch.target[order].tolist()
    train = bunch.data[order][:409]
    expected = (bunch.data[order] - train.mean(0)) / train.std(0)
    rows = torch.cat([data.train_images, data.test_images]).double().numpy()
    np.testing.assert_allclose(rows, expected, atol=1e-4)


def test_lenet5_gets_the_digits_at_28_pixels():
    data = digits()
    scaled = network_data("lenet-5", data)
    assert scaled.train_images.shape == (1297, 1, 28, 28)
    assert scaled.test_images.shape == (500, 1, 28, 28)
    assert torch.equal(scaled.train_labels, data.train_labels)
    low, high = data.train_images.amin(), data.train_images.amax()
    assert scaled.train_images.amin() >= low - 1e-6
    assert scaled.train_images.amax() <= high + 1e-6
    assert scaled.train_images[0, 0, 13, 13] != 0
    assert network_data("lenet-300-100", data) is data


def test_lenet5_takes_no_table():
    with pytest.raises(ValueError, match="model: lenet-5 takes images"):
        network_data("lenet-5", breast_cancer())


def test_every_weight_of_lenet5_is_sparse():
    training = Training(RunConfig(model="lenet-5", sparsity=0.9, epochs=1))
    names = [layer.name for layer in training.sparse.stats().layers]
    assert names == ["conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight"]
    assert training.sparse.budget == 43050
    assert training.model(training.data.test_images[:2]).shape == (2, 10)


def test_a_table_trains():
    training = Training(RunConfig(data="breast-cancer", sparsity=0.9, epochs=3))
    assert training.run().test_accuracy > 0.8


def test_rescaled_weights_keep_a_sparse_network_without_normalisation_going():
    spread = {}
    for init in ("default", "rescaled"):
        training = Training(RunConfig(method="static", sparsity=0.95, model="lenet-5", init=init))
        sizes, images = [], training.data.test_images[:20]
        for module in training.model:
            images = module(images)
            if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
                sizes.append(float(images.detach().std(0).mean()))  # how much the rows differ
        spread[init] = sizes[-1] / sizes[0]
        layer = training.sparse.stats().layers[2]
        weight = training.model.fc1.weight.detach()
        if init == "rescaled":
            bound = (6 / weight.shape[1] * layer.units / layer.active) ** 0.5
            assert 0.99 * bound < float(weight.abs().max()) <= 1.0001 * bound
    assert spread["rescaled"] > 0.3
    assert spread["default"] < 0.03


def test_weights_depend_on_the_seed_alone():
    data, state = digits(), torch.random.get_rng_state()
    first, again, other = (build_network("lenet-300-100", data, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first.fc1.weight, again.fc1.weight)
    assert not torch.equal(first.fc1.weight, other.fc1.weight)
