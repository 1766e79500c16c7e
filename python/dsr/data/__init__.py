"""Data sets held in memory; ``DATA`` maps a command-line name to its loader."""

from __future__ import annotations

from collections.abc import Callable

from dsr.data.breast_cancer import breast_cancer
from dsr.data.dataset import ImageData
from dsr.data.digits import digits

DATA: dict[str, Callable[[], ImageData]] = {"breast-cancer": breast_cancer, "digits": digits}

__all__ = ["DATA", "ImageData", "breast_cancer", "digits"]
