"""layer_mean in C++ gives the integers of the reference."""

import torch
from native_cases import cases, check_cpu, torch_threads

import dsr_kernels
from dsr_kernels import BitMask, SparseLayout


def test_equals_the_reference():
    for case in cases(3000, seed=6):
        check_cpu(case, lambda c: dsr_kernels.layer_mean(c.tensors, c.mask))


def test_scale_set_by_the_last_value():
    """The kernel sums on a guessed scale: a late, far larger value makes it start again."""
    mask = BitMask.ones(SparseLayout.of_elements([200_000, 70_000]))
    values = [torch.full((n,), 1e-3) for n in (200_000, 70_000)]
    for late in (1e-3, 5.0, 3e38, torch.inf):
        values[1][-1] = late
        with dsr_kernels.backend("reference"):
            wanted = dsr_kernels.layer_mean(values, mask)
        for threads in (1, 2):
            with dsr_kernels.backend("cpu"), torch_threads(threads):
                assert torch.equal(dsr_kernels.layer_mean(values, mask), wanted)
