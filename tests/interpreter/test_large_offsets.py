"""Offsets past 2**31, without the memory: pointers are shifted back by what the program adds."""

import pytest
import torch

from dsr_kernels import LayerShape
from dsr_kernels.triton_kernels.apply_mask import apply_mask_kernel
from dsr_kernels.triton_kernels.tuning import tuning

BLOCK = tuning("apply_mask_").block
FAR = 2**32 + 5 * 2**20  # a multiple of BLOCK, of the word size and of every unit below


@pytest.mark.parametrize(
    "shape", [LayerShape(2**33), LayerShape(2**31, 4), LayerShape(2**25, 4, 64)]
)
def test_the_far_end_of_a_large_layer(shape):
    import triton.language as tl

    units = 2 * BLOCK // shape.unit_size
    words = torch.arange(units // 32, dtype=torch.int32) * 0x01234567
    values = torch.ones(2 * BLOCK)
    pointer = values.data_ptr() - FAR * values.element_size()
    word_offset = -(FAR // shape.unit_size) // 32
    row = (shape.outer, shape.unit_size, shape.inner, word_offset, 0)
    entry = (pointer, shape.elements, 0, -(FAR // BLOCK))
    apply_mask_kernel[(2,)](
        torch.tensor([entry]),
        words,
        torch.tensor([row]),
        1,
        ELEMENT=tl.int32,
        STEPS=0,
        BLOCK=BLOCK,
        TILE=BLOCK,
    )
    bits = (words[:, None] >> torch.arange(32)) & 1 == 1
    element = torch.arange(2 * BLOCK)
    span = shape.unit_size * shape.inner
    unit = element // span * shape.inner + element % shape.inner
    assert torch.equal(values != 0, bits.flatten()[unit])
