"""Checks on every rank: masks and weights are those of other ranks, and of other rank counts."""

import hashlib
import random
from unittest import mock

import nets
import numpy as np
import torch
from modes import DEVICE
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import dsr
from dsr.divergence import DivergenceWatch

STEPS, TOTAL_STEPS = 10, 40
ROWS = 16


class Heads(nn.Module):
    """Two layers side by side under a loss that is linear in both.

    With small whole numbers for data and powers of two for rates, every product and every sum is
    exact: it does not matter in which order the gradients of how many ranks are added up.
    """

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.left, self.right = nn.Linear(24, 20, bias=False), nn.Linear(24, 30, bias=False)
        for layer in (self.left, self.right):
            whole = torch.randint(-255, 256, layer.weight.shape, generator=generator)
            layer.weight.data = whole / 256

    def forward(self, x):
        return torch.cat([self.left(x), self.right(x)], 1)


def exact_batch(step):
    generator = torch.Generator().manual_seed(step)
    x = torch.randint(-2, 3, (ROWS, 24), generator=generator).float()
    y = torch.randint(-2, 3, (ROWS, 50), generator=generator).float()
    return x.to(DEVICE), y.to(DEVICE)


def exact_sparse(method):
    """The heads made sparse, and an optimizer whose steps are exact."""
    model = Heads().to(DEVICE)
    x, y = exact_batch(STEPS)
    calibrate = (lambda: (model(x) * y).sum()) if method.needs_calibration else None
    sparse = dsr.sparsify(model, method, total_steps=TOTAL_STEPS, seed=7, calibrate=calibrate)
    return model, sparse, torch.optim.SGD(model.parameters(), lr=0.25, momentum=0.5)


def exact_digest(method, rank, size):
    """Train ``STEPS`` steps, each rank on its share of every batch."""
    model, sparse, optimizer = exact_sparse(method)
    sparse.attach(optimizer)
    network = DistributedDataParallel(model) if size > 1 else model
    for step in range(STEPS):
        x, y = (part.chunk(size)[rank] for part in exact_batch(step))
        optimizer.zero_grad()
        ((network(x) * y).sum() / len(x)).backward()
        optimizer.step()
    return digest(model, sparse)


def digest(model, sparse):
    """Masks and weights as one text, and how many units ever moved."""
    found = hashlib.sha256()
    for name, mask in sparse.masks().items():
        found.update(name.encode() + mask.cpu().numpy().tobytes())
    for parameter in model.parameters():
        found.update(parameter.detach().cpu().numpy().tobytes())
    return [found.hexdigest(), sparse.stats().total_pruned]


def exact_digests(rank, size):
    return {name: exact_digest(method, rank, size) for name, method in nets.METHODS.items()}


def check_exact_training(folder):
    return exact_digests(distributed.get_rank(), distributed.get_world_size())


def check_training_with_other_seeds_and_threads(folder):
    """Each rank has other initial weights, global seeds and thread counts."""
    rank, found = distributed.get_rank(), {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1 + rank % 2)
    for name, method in nets.METHODS.items():
        model = nets.mlp(seed=rank, device=DEVICE)
        for seed in (torch.manual_seed, np.random.seed, random.seed):
            seed(100 + rank)
        sparse = nets.make_sparse(model, method, total_steps=TOTAL_STEPS)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        network = DistributedDataParallel(model)
        sparse.attach(optimizer)
        for step in range(STEPS):
            train_on_share(network, optimizer, step)
        found[name] = digest(model, sparse)
    torch.set_num_threads(threads)
    return found


def train_on_share(network, optimizer, step):
    x, y = nets.batch(network, step)
    rank, size = distributed.get_rank(), distributed.get_world_size()
    optimizer.zero_grad()
    logits = network(x.chunk(size)[rank])
    nn.functional.cross_entropy(logits, y.chunk(size)[rank]).backward()
    optimizer.step()


class Collectives(TorchDispatchMode):
    """Records every collective, DDP's from C++ too, as [name, dtype, elements]."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.namespace == "c10d":
            for tensor in tree_leaves(args):
                if isinstance(tensor, torch.Tensor):
                    self.seen.append([function.__name__, str(tensor.dtype), tensor.numel()])
        return function(*args, **(kwargs or {}))


def collectives(method):
    """Those of ten steps, and how many reallocations there were."""
    model = nets.mlp(device=DEVICE)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparse = None
    if method is not None:
        sparse = dsr.sparsify(model, method, total_steps=TOTAL_STEPS, optimizer=optimizer)
    network = DistributedDataParallel(model)
    with Collectives() as found:
        for step in range(STEPS):
            train_on_share(network, optimizer, step)
    return found.seen, 0 if sparse is None else sparse.stats().reallocations


def check_collectives(folder):
    names = ("dsr", "set", "rigl", "sparse-momentum")
    found = {name: collectives(nets.METHODS.get(name)) for name in ("plain", *names)}
    with mock.patch.object(DivergenceWatch, "STEPS_BETWEEN", 4):
        return found | {"deepr": collectives(nets.METHODS["deepr"])}


def check_calibration_on_other_batches(folder):
    """SNIP's masks; those of each rank by itself, which do differ, are the proof that it counts.

    And the collectives of choosing them.
    """
    rank, found = distributed.get_rank(), []
    alone = distributed.new_group([rank], use_local_synchronization=True)
    for group in (None, alone):
        model = nets.mlp(device=DEVICE)
        x, y = nets.batch(model, 500 + rank)
        with Collectives() as collectives:
            sparse = dsr.sparsify(
                model,
                dsr.SNIP(sparsity=0.8),
                calibrate=lambda m=model, x=x, y=y: nn.functional.cross_entropy(m(x), y),
                process_group=group,
            )
        found.append([digest(model, sparse)[0], collectives.seen])
    return found
