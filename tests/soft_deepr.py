"""A small network under soft DeepR, for its tests."""

import torch
from nets import OPTIMIZERS, mlp

import dsr

ONE = {"temperature_starts": (0.0,), "stop": None, "soft": True}


def start(optimizer="sgd", dtype=torch.float32, total_steps=None, distribution="uniform", **fields):
    fields = {"sparsity": 0.7, "l1": 1e-2, "temperatures": (1.0,), **ONE, **fields}
    model = mlp().to(dtype)
    made = OPTIMIZERS[optimizer](model.parameters())
    method = dsr.DeepR(**fields)
    sparse = dsr.sparsify(
        model, method, optimizer=made, seed=5, total_steps=total_steps, distribution=distribution
    )
    return model, sparse, made
