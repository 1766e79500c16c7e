"""The last check on every rank: none of them hangs with a comparison of masks under way."""

import logging

import nets
import torch
from torch import distributed

import dsr
from dsr.divergence import DivergenceWatch
from dsr_kernels import BitMask, SparseLayout

held = []  # alive until the process ends


def check_comparison_under_way_at_exit(folder):
    """Of two ranks one has gone without taking part; more than two leave all together."""
    watch = DivergenceWatch()
    held.append(watch)
    words = BitMask.ones(SparseLayout.of_elements([1000])).words
    if distributed.get_world_size() > 2:
        watch.submit(words, torch.ones(1, dtype=torch.int64), step=1)
    elif distributed.get_rank() == 0:
        watch.submit(words, torch.ones(1, dtype=torch.int64), step=1)
        assert "could not compare the masks" in warning_of(watch.check)
        sparse = dsr.sparsify(nets.mlp(), dsr.Static(sparsity=0.5))
        assert sparse.state_dict()["step"] == 0


def warning_of(function):
    texts = []
    handler = logging.Handler()
    handler.emit = lambda record: texts.append(record.getMessage())
    logger = logging.getLogger("dsr")
    logger.addHandler(handler)
    function()
    logger.removeHandler(handler)
    return " ".join(texts)
