"""The 569 breast tumours that come with scikit-learn: a small table of numbers."""

from __future__ import annotations

import numpy as np
import torch

from dsr.data.dataset import ImageData

ROWS = 569
TRAIN_ROWS = 409


def breast_cancer() -> ImageData:
    """409 training and 160 test rows of 30 measurements, 2 classes.

    The rows are taken in the order of ``numpy.random.RandomState(0).permutation(569)``, training
    rows first. Each measurement is shifted and scaled by its mean and standard deviation over the
    training rows. The rows are no images: ``train_images`` is float32 [409, 30].

    Returns:
        The data set, on the CPU.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.

    Source: UCI Breast Cancer Wisconsin (Diagnostic), as ``sklearn.datasets.load_breast_cancer``.
    """
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    order = np.random.RandomState(0).permutation(ROWS)
    rows = torch.from_numpy(bunch.data[order]).double()
    labels = torch.from_numpy(bunch.target[order]).long()
    std, mean = torch.std_mean(rows[:TRAIN_ROWS], dim=0, correction=0)
    rows = ((rows - mean) / std).float()
    return ImageData(
        rows[:TRAIN_ROWS].contiguous(),
        labels[:TRAIN_ROWS].contiguous(),
        rows[TRAIN_ROWS:].contiguous(),
        labels[TRAIN_ROWS:].contiguous(),
        classes=2,
    )
