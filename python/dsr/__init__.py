"""Train neural networks whose weights are sparse from the first step to the last.

>>> sparse = dsr.sparsify(model, dsr.DSR(sparsity=0.9), total_steps=steps)
>>> sparse.attach(optimizer)  # the training loop stays as it was
"""

from dsr import distributions, methods, models, nn
from dsr.checkpoints import Checkpoints
from dsr.divergence import RankDivergenceError
from dsr.methods import (
    DSR,
    SET,
    SNIP,
    Compressed,
    DeepR,
    Dense,
    DynamicMethod,
    Grow,
    Method,
    Prune,
    Reallocation,
    Redistribute,
    RigL,
    Rules,
    SparseMethod,
    SparseMomentum,
    SparseParam,
    Static,
    register_method,
)
from dsr.nonfinite import NonFiniteError
from dsr.sparsifier import Sparsifier
from dsr.sparsify import sparsify
from dsr.stats import LayerStats, Stats

__all__ = [
    "DSR",
    "SET",
    "SNIP",
    "Checkpoints",
    "Compressed",
    "DeepR",
    "Dense",
    "DynamicMethod",
    "Grow",
    "LayerStats",
    "Method",
    "NonFiniteError",
    "Prune",
    "RankDivergenceError",
    "Reallocation",
    "Redistribute",
    "RigL",
    "Rules",
    "SparseMethod",
    "SparseMomentum",
    "SparseParam",
    "Sparsifier",
    "Static",
    "Stats",
    "distributions",
    "methods",
    "models",
    "nn",
    "register_method",
    "sparsify",
]
