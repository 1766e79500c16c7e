"""What a kernel writes outside of a tensor that an op allocates is noticed."""

import pytest
import torch
import triton
import triton.language as tl
from canaries import BORDER

SIZE = 40


@triton.jit
def store_kernel(out_ptr, offset):
    tl.store(out_ptr + offset, 1.0)


ALLOCATIONS = {
    "new_empty": lambda: torch.ones(1).new_empty(5, SIZE // 5),
    "new_zeros": lambda: torch.ones(1).new_zeros(SIZE),
    "empty": lambda: torch.empty(SIZE // 4, 4),
    "empty_strided": lambda: torch.empty_strided((4, SIZE // 4), (1, 4)),
    "empty_like": lambda: torch.empty_like(torch.ones(SIZE)),
    "zeros": lambda: torch.zeros(SIZE),
    "clone": lambda: torch.ones(SIZE).clone(),
}


@pytest.mark.parametrize("name", ALLOCATIONS)
def test_a_store_beside_an_allocation_is_noticed(name, allocations):
    for offset, inside in ((-BORDER, False), (-1, False), (0, True), (SIZE - 1, True)):
        store_kernel[(1,)](ALLOCATIONS[name](), offset)
        assert allocations.intact() == inside, offset
    for offset in (SIZE, SIZE + BORDER - 1):
        store_kernel[(1,)](ALLOCATIONS[name](), offset)
        assert not allocations.intact(), offset


def test_what_nobody_wrote_is_absurd():
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        assert torch.empty(3, dtype=dtype).isnan().all()
    for dtype in (torch.int32, torch.int64):
        assert torch.ones(1, dtype=dtype).new_empty(3).lt(-(2**20)).all()
    assert not torch.zeros(3).any()
