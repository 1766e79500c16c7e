"""The loop that trains and tests: SGD on tensors that live on the device, one epoch at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dsr.data import ImageData
from dsr.experiments.config import RunConfig
from dsr.experiments.ranks import share, summed
from dsr.sparsifier import Sparsifier

LR_DROPS, LR_FACTOR = (0.25, 0.5, 0.75), 0.2
TEST_ROWS = 1000


def batches_per_epoch(rows: int, batch_size: int, world_size: int = 1) -> int:
    """Steps an epoch: batch normalisation needs two rows a rank, a last batch of fewer is left out.

    Args:
        rows: of the training data.
        batch_size: rows a step, over all ranks.
        world_size: ranks.
    """
    full, left = divmod(rows, batch_size)
    return full + (left >= 2 * world_size)


def sgd(model: nn.Module, config: RunConfig) -> torch.optim.SGD:
    """Nesterov SGD over every parameter."""
    return torch.optim.SGD(
        model.parameters(),
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        weight_decay=config.weight_decay,
    )


def train_epoch(
    model: nn.Module,
    sparse: Sparsifier,
    optimizer: torch.optim.Optimizer,
    data: ImageData,
    config: RunConfig,
    epoch: int,
) -> float:
    """Train for one epoch (1 is the first), this rank on its share of every batch.

    Nothing here keeps state between epochs: the learning rate and the order of the rows are
    functions of ``config`` and ``epoch``, so a checkpoint of the model, the optimizer and the
    sparsifier is all that a resume needs.

    Returns:
        The mean cross-entropy of the rows of all ranks, without the penalty.
    """
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config.lr, epoch, config.epochs)
    model.train()
    labels = data.train_labels
    order = row_order(len(labels), config.seed, epoch).to(labels.device)
    total, rows = torch.zeros((), dtype=torch.float64, device=labels.device), 0
    batches = batches_per_epoch(len(labels), config.batch_size, config.world_size)
    for batch in map(share, order.split(config.batch_size)[:batches]):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(data.train_images[batch]), labels[batch])
        total += loss.detach() * len(batch)
        rows += len(batch)
        (loss + sparse.penalty() if config.l1 else loss).backward()
        optimizer.step()
    return float(summed(total) / (rows * config.world_size))


def first_batch_loss(model: nn.Module, data: ImageData, config: RunConfig) -> Tensor:
    """The loss on this rank's share of the first batch; the model's running statistics stay."""
    model.train()
    batch = row_order(len(data.train_labels), config.seed, 1)[: config.batch_size]
    batch = share(batch).to(data.train_labels.device)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    logits = torch.func.functional_call(model, buffers, (data.train_images[batch],))
    return functional.cross_entropy(logits, data.train_labels[batch])


@torch.no_grad()
def measure_accuracy(model: nn.Module, data: ImageData) -> float:
    """The fraction of test rows the model gets right, in [0, 1]."""
    model.eval()
    images, labels = data.test_images, data.test_labels
    correct = torch.zeros((), dtype=torch.int64, device=labels.device)
    for part, expected in zip(images.split(TEST_ROWS), labels.split(TEST_ROWS), strict=True):
        correct += (model(part).argmax(1) == expected).sum()
    return int(correct) / len(labels)


def learning_rate(initial: float, epoch: int, epochs: int) -> float:
    """The learning rate of ``epoch`` (1 is the first): times 0.2 at 25, 50 and 75 %."""
    return initial * LR_FACTOR ** sum(epoch > drop * epochs for drop in LR_DROPS)


def row_order(rows: int, seed: int, epoch: int) -> Tensor:
    """The order of the training rows in an epoch, a function of its arguments alone."""
    mixed = np.random.SeedSequence((seed, epoch)).generate_state(1)
    return torch.randperm(rows, generator=torch.Generator().manual_seed(int(mixed[0])))


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Compute the same bits each time: one thread on a CPU, fixed algorithms on a GPU.

    How a CPU splits a sum depends on the number of threads, and so would the result of a run.
    """
    if device.type == "cpu":
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
