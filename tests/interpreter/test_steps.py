"""Whole reallocations, one after another: each leaves counters as the next one needs them."""

import pytest
import torch
from reallocation_steps import STEPS, Net

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
