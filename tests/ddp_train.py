"""Checks on every rank: runs of `dsr.experiments` on several ranks."""

import pytest
import torch
from torch import distributed

from dsr.experiments import RunConfig, run
from dsr.experiments.ranks import share
from dsr.experiments.recipe import batches_per_epoch

EPOCHS, EVERY, STOPPED_IN = 8, 2, 5


class StoppedError(Exception):
    pass


def settings(**others):
    values = {"epochs": EPOCHS, "sparsity": 0.95, "options": {"period": 3}, "device": "cpu"}
    return RunConfig(world_size=distributed.get_world_size(), **values | others)


def check_straight_run(folder):
    seen = []
    summary = run(settings(), folder / "straight", checkpoint_every=EVERY, progress=seen.append)
    distributed.barrier()
    for row in seen:
        row.pop("seconds")
    return [seen, summary.nonzeros]


def check_resumed_run(folder):
    def stop(row):
        if row["epoch"] == STOPPED_IN:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(settings(), folder / "resumed", checkpoint_every=EVERY, progress=stop)
    distributed.barrier()
    run(settings(), folder / "resumed", checkpoint_every=EVERY, resume=True)
    distributed.barrier()


def check_calibrated_run(folder):
    config = settings(epochs=1, method="snip", options={})
    return run(config, folder / "snip").test_accuracy


def check_wrong_number_of_ranks(folder):
    with pytest.raises(ValueError, match=r"world_size: expected \d, the ranks here, got 1"):
        run(RunConfig(device="cpu"))
    with pytest.raises(ValueError, match=r"batch_size: expected at least 2 rows for each of"):
        settings(batch_size=3)
    with pytest.raises(ValueError, match="device: expected auto, cpu or cuda for"):
        settings(device="cuda:0")


def check_batches_that_do_not_divide(folder):
    """1,297 rows in batches of 99: 13 whole ones, and 10 rows that 4 ranks share two by two."""
    rank, size = distributed.get_rank(), distributed.get_world_size()
    rows = 99 // size
    assert share(torch.arange(99)).tolist() == list(range(rank * rows, (rank + 1) * rows))
    config = settings(epochs=1, batch_size=99)
    seen = []
    run(config, progress=seen.append)
    assert batches_per_epoch(1297, 99, size) == 14
    assert seen[0]["step"] == 14
    assert batches_per_epoch(1297, 99, 6) == 13
