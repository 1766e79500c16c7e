"""prune_sign_flips_ in C++ gives the bits of the reference."""

import pytest
import torch
from native_cases import cases, check_cpu

from dsr_kernels import BitMask, prune_sign_flips_


@pytest.mark.parametrize("block", range(3))
def test_equals_the_reference(block):
    for case in cases(1000, seed=block, groups=False):
        zero = case.random.random() < 0.7
        generator = torch.Generator().manual_seed(case.number)
        rows = [torch.rand(shape.units, generator=generator) for shape in case.layout.layers]

        def call(c, zero=zero, rows=rows):
            below = BitMask.from_bools(c.layout, [row < 0.5 for row in rows])
            counts = prune_sign_flips_(c.tensors, c.mask, c.previous, below, zero=zero)
            return (*counts, below.words)

        check_cpu(case, call)
