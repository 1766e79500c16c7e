"""Whole reallocations, one after another: each leaves counters as the next one needs them."""

import pytest
import torch
from reallocation_steps import STEPS, Net, dsr_ops

import dsr_kernels

SIZES = (300, 33, 0)


@pytest.mark.parametrize("backend", ["triton-shuffled"], indirect=True)
@pytest.mark.parametrize("name", STEPS)
def test_equals_the_reference_over_two_steps(name, backend):
    nets = {one: Net("cpu", SIZES) for one in (backend, "reference")}
    for _ in range(2):
        for one, net in nets.items():
            with dsr_kernels.backend("reference"):
                net.train()
            with dsr_kernels.backend(one):
                STEPS[name](net)
        for a, b in zip(*(net.tensors() for net in nets.values()), strict=True):
            assert torch.equal(a.view(torch.uint8), b.view(torch.uint8))


@pytest.mark.parametrize("backend", ["triton-forward"], indirect=True)
def test_a_dsr_step_is_four_launches(backend, monkeypatch):
    from triton.runtime.interpreter import GridExecutor

    launched, call = [], GridExecutor.__call__

    def counting(executor, *args, **kwargs):
        launched.append(executor)
        return call(executor, *args, **kwargs)

    monkeypatch.setattr(GridExecutor, "__call__", counting)
    net = Net("cpu", SIZES)
    with dsr_kernels.backend(backend):
        net.begin()
        dsr_ops(net)
    assert len(launched) == 4
