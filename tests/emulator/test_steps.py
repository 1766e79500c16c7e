"""Whole reallocations, one after another: each leaves counters as the next one needs them."""

import pytest
import torch
from cuda_emulation import launches
from reallocation_steps import STEPS, Net, dsr_ops

import dsr_kernels


@pytest.mark.parametrize("backend", ["cuda-reversed", "cuda-shuffled"], indirect=True)
@pytest.mark.parametrize("name", STEPS)
def test_equals_the_reference_over_some_steps(name, backend):
    nets = {one: Net("cpu") for one in (backend, "reference")}
    for _ in range(6):
        for one, net in nets.items():
            with dsr_kernels.backend("reference"):
                net.train()
            with dsr_kernels.backend(one):
                STEPS[name](net)
        for a, b in zip(*(net.tensors() for net in nets.values()), strict=True):
            assert torch.equal(a.view(torch.uint8), b.view(torch.uint8))


@pytest.mark.parametrize("backend", ["cuda-forward"], indirect=True)
def test_a_dsr_step_is_four_launches(backend):
    net = Net("cpu")
    with dsr_kernels.backend(backend):
        net.begin()
        before = launches()
        dsr_ops(net)
    assert launches() - before == 4
