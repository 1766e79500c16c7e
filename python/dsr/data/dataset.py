"""A classification data set small enough to live on the device as four tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ImageData:
    """Images and labels, split into a training and a test part.

    Attributes:
        train_images: float32 [rows, channels, height, width], or [rows, features] where the rows
            are no images; normalised.
        train_labels: int64 [rows], in [0, classes).
        test_images: as ``train_images``.
        test_labels: as ``train_labels``.
        classes: number of classes.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: int

    @property
    def features(self) -> int:
        """Values a row."""
        return self.train_images[0].numel()

    def to(self, device: torch.device | str) -> ImageData:
        """The same data on ``device``."""
        return ImageData(
            self.train_images.to(device),
            self.train_labels.to(device),
            self.test_images.to(device),
            self.test_labels.to(device),
            self.classes,
        )
