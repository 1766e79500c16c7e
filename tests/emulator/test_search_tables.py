"""The searches of the CUDA kernels refuse tables of other sizes than they were compiled for."""

import pytest
import torch

import dsr_kernels
from dsr_kernels import BitMask, SparseLayout, cuda_plan, kth_magnitude


@pytest.mark.parametrize("backend", ["cuda-shuffled"], indirect=True)
@pytest.mark.parametrize(
    ("constant", "table"),
    [
        ("SEARCH_BINS", "counters"),
        ("SEARCH_VALUES", "searches"),
        ("PLACE_VALUES", "searches"),
        ("SEARCH_WARPS", "scratch"),
        ("BLOCK_UNITS", "scratch"),
        ("UNITS_PER_ENTRY", "scratch"),
    ],
)
def test_a_constant_that_is_stale(constant, table, backend, monkeypatch):
    monkeypatch.setattr(cuda_plan, constant, 2 * getattr(cuda_plan, constant))
    mask = BitMask.ones(SparseLayout.of_elements([5000]))
    with dsr_kernels.backend(backend), pytest.raises(ValueError, match=f"values of {table}"):
        kth_magnitude([torch.ones(5000)], mask, torch.tensor([3]))
