"""Layers beyond 2**31 elements, and beyond 2**31 units, where the GPU has the memory."""

import pytest
import torch
from far_units import CHECKS, Far, takes

import dsr_kernels
from dsr_kernels.schema import OPS

ELEMENTS = 2**31 + 2**20
BYTES = 12 * ELEMENTS  # the layer, its masks and the scratch of the op


LARGE_CASES = [
    (op, backend_name, unit_size)
    for op in CHECKS
    for backend_name in ("cuda", "triton")
    for unit_size in (1, 4)
    if backend_name in OPS[op].backends and takes(op, unit_size)
]


@pytest.mark.parametrize(("op", "backend_name", "unit_size"), LARGE_CASES)
def test_the_last_units_count(op, backend_name, unit_size, device):
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    if free < BYTES:
        pytest.skip(f"expected {BYTES >> 30} GiB of free memory, got {free >> 30}")
    with dsr_kernels.backend(backend_name):
        CHECKS[op](Far(ELEMENTS, unit_size, device))
