"""The result of a run."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import dsr_kernels


@dataclass(frozen=True)
class Summary:
    """What ``summary.json`` holds.

    Attributes:
        test_accuracy: after the last epoch, in [0, 1].
        nonzeros: active weights of the sparse layers.
        sparsity: fraction of inactive weights over the sparse layers.
        churn: fraction of the active weights that the last reallocation pruned.
        explored: fraction of the weights that were active at the start or after a reallocation.
        distribution: how the sparsity was first split over the layers; "saliency" for SNIP, "given"
            where the masks are another run's.
        seconds: spent in epochs, testing included.
        seed: of the run.
        versions: of the software that computed it.
    """

    test_accuracy: float
    nonzeros: int
    sparsity: float
    churn: float
    explored: float
    distribution: str
    seconds: float
    seed: int
    versions: dict[str, str]


def summarise(seed: int, distribution: str, rows: Sequence[Mapping[str, Any]]) -> Summary:
    """The summary of a run with these rows of metrics."""
    last = rows[-1]
    return Summary(
        test_accuracy=last["test_accuracy"],
        nonzeros=last["nonzeros"],
        sparsity=last["sparsity"],
        churn=last["churn"],
        explored=last["explored"],
        distribution=distribution,
        seconds=sum(row["seconds"] for row in rows),
        seed=seed,
        versions={
            "dsr_kernels": dsr_kernels.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
        },
    )
