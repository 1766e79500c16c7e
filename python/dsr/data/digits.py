"""The 1,797 handwritten digits that come with scikit-learn: real data without a download."""

from __future__ import annotations

import numpy as np
import torch

from dsr.data.dataset import ImageData

ROWS = 1797
TRAIN_ROWS = 1297
MAX_PIXEL = 16.0


def digits() -> ImageData:
    """1,297 training and 500 test images of 8 x 8 pixels, 10 classes.

    The rows are taken in the order of ``numpy.random.RandomState(0).permutation(1797)``, training
    rows first. Pixels (0 to 16) are divided by 16, then shifted and scaled by the mean and the
    standard deviation of all training pixels, one number each.

    Returns:
        The data set, on the CPU.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.

    Source: UCI Optical Recognition of Handwritten Digits, as ``sklearn.datasets.load_digits``.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.RandomState(0).permutation(ROWS)
    images = torch.from_numpy(bunch.images[order]).float().unsqueeze(1) / MAX_PIXEL
    labels = torch.from_numpy(bunch.target[order]).long()
    std, mean = torch.std_mean(images[:TRAIN_ROWS].double(), correction=0)
    images = (images - mean.float()) / std.float()
    return ImageData(
        images[:TRAIN_ROWS].contiguous(),
        labels[:TRAIN_ROWS].contiguous(),
        images[TRAIN_ROWS:].contiguous(),
        labels[TRAIN_ROWS:].contiguous(),
        classes=10,
    )
