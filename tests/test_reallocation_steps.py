"""Whole reallocations on a CPU: cpu equals reference, the budget holds, the threshold moves."""

import pytest
import torch
from reallocation_steps import STEPS, Net

import dsr_kernels

STEPS_TO_RUN = 25


@pytest.mark.parametrize("name", STEPS)
def test_cpu_equals_reference_over_many_steps(name):
    nets = {backend: Net("cpu") for backend in ("cpu", "reference")}
    budget = int(nets["cpu"].active.sum())
    thresholds, moved = set(), 0
    for _ in range(STEPS_TO_RUN):
        for backend, net in nets.items():
            with dsr_kernels.backend(backend):
                net.train()
                STEPS[name](net)
        for a, b in zip(*(net.tensors() for net in nets.values()), strict=True):
            assert torch.equal(a.view(torch.uint8), b.view(torch.uint8))
        assert torch.equal(net.mask.counts(), net.active)
        thresholds.add(net.threshold.item())
        moved += int(net.counts.sum())
    assert moved > 1000
    assert int(net.active.sum()) == budget
    assert len(thresholds) > 3 or name != "dsr"
