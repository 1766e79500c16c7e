import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from dsr.data import DATA, digits


@pytest.fixture(scope="module")
def data():
    return digits()


def test_registry_has_digits():
    assert DATA["digits"] is digits


def test_shapes_and_types(data):
    assert data.train_images.shape == (1297, 1, 8, 8)
    assert data.test_images.shape == (500, 1, 8, 8)
    assert data.train_labels.shape == (1297,)
    assert data.test_labels.shape == (500,)
    assert data.train_images.dtype == data.test_images.dtype == torch.float32
    assert data.train_labels.dtype == data.test_labels.dtype == torch.int64
    assert (data.features, data.classes) == (64, 10)
    assert set(data.test_labels.tolist()) == set(range(10))


def test_rows_are_those_of_the_fixed_permutation(data):
    bunch = load_digits()
    order = np.random.RandomState(0).permutation(1797)
    labels = torch.cat([data.train_labels, data.test_labels])
    assert labels.tolist() == bunch.target[order].tolist()
    pixels = torch.cat([data.train_images, data.test_images]).flatten(1).double().numpy()
    expected = bunch.data[order] / 16
    train = expected[:1297]
    np.testing.assert_allclose(pixels, (expected - train.mean()) / train.std(), atol=1e-5)


def test_training_pixels_are_normalised(data):
    assert data.train_images.double().mean().abs() < 1e-5
    assert (data.train_images.double().std(correction=0) - 1).abs() < 1e-5


def test_two_loads_are_equal(data):
    again = digits()
    assert torch.equal(data.train_images, again.train_images)
    assert torch.equal(data.test_labels, again.test_labels)


def test_to_moves_every_tensor(data):
    moved = data.to("meta")
    tensors = (moved.train_images, moved.train_labels, moved.test_images, moved.test_labels)
    assert all(tensor.is_meta for tensor in tensors)
    assert moved.features == 64
