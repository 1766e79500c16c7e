"""What growth by momentum chooses: `python -m benchmarks.experiments.inactive_momentum`.

LeNet-300-100, with batch normalisation, on the digits at sparsity .95 and .98. A unit with few
active inputs hardly varies, batch normalisation divides by almost nothing, and the gradients of its
inactive weights are huge. Writes inactive-momentum.csv beside the other results.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
from torch import Tensor

from benchmarks.experiments.grids import ABLATION_EPOCHS, GROWTHS
from dsr import sparsifier
from dsr.experiments import RunConfig
from dsr.experiments.train import Training

RESULTS = Path(__file__).parents[1] / "results" / "experiments"
SEEDS = range(5)


def main() -> None:
    """Train and write the table: a row a setting, the mean or the largest of its seeds."""
    rows = [
        measure(sparsity, growth, seed)
        for sparsity in (0.95, 0.98)
        for growth in GROWTHS
        for seed in SEEDS
    ]
    groups = pd.DataFrame(rows).groupby(["sparsity", "growth"], sort=False)
    table = groups.agg(
        **{
            "momentum ratio": ("ratio", "median"),
            "units without inputs, %": ("empty", "mean"),
            "largest weight": ("largest", "max"),
            "test accuracy, %": ("accuracy", "mean"),
        }
    )
    table.map(lambda value: f"{value:.3g}").to_csv(RESULTS / "inactive-momentum.csv")


def measure(
    sparsity: float, growth: str, seed: int, epochs: int = ABLATION_EPOCHS
) -> dict[str, Any]:
    """Train once without redistribution and look at the two hidden layers.

    Args:
        sparsity: of each layer.
        growth: a key of ``GROWTHS``.
        seed: of the run.
        epochs: to train for.

    Returns:
        What was varied; ``ratio``, the largest momentum of an inactive weight over the median one
        of active weights, the median over layers and reallocations; ``empty``, the hidden units
        without an active input at the end, in %; ``largest``, the largest weight, of
        batch normalisation too; ``accuracy`` on the test rows, in %.
    """
    options = {"redistribution": "none", **GROWTHS[growth]}
    config = RunConfig(
        method="sparse-momentum", sparsity=sparsity, seed=seed, epochs=epochs, options=options
    )
    training, ratios = Training(config), list[float]()
    weights = dict(training.model.named_parameters())
    original = sparsifier.reallocate

    def hidden() -> dict[str, Tensor]:
        return dict(list(training.sparse.masks().items())[:-1])

    def watched(*arguments: Any, **settings: Any) -> Any:
        for name, mask in hidden().items():
            size = training.optimizer.state[weights[name]]["momentum_buffer"].abs()
            ratios.append(float(size[~mask].max() / size[mask].median().clamp(min=1e-30)))
        return original(*arguments, **settings)

    with mock.patch.object(sparsifier, "reallocate", watched):
        accuracy = training.run().test_accuracy
    masks = hidden().values()
    empty = sum(int((~mask.any(1)).sum()) for mask in masks) / sum(len(mask) for mask in masks)
    return {
        "sparsity": sparsity,
        "growth": growth,
        "ratio": statistics.median(ratios),
        "empty": 100 * empty,
        "largest": max(
            float(weights[name].detach().abs().max()) for name in training.sparse.masks()
        ),
        "accuracy": 100 * accuracy,
    }


if __name__ == "__main__":
    main()
