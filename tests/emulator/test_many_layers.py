"""The CUDA kernels with more layers than the pointers of one launch, or the threads of a block."""

import random

import pytest
import torch
from generated_calls import CALLS
from native_cases import DTYPES, Case, check_backends

from dsr_kernels import BitMask, LayerShape, SparseLayout
from dsr_kernels.schema import OPS

LAYERS = 1030  # a launch takes 512


def many_layers(seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = [LayerShape(layer % 5) for layer in range(LAYERS)]
    shapes[511], shapes[-1] = LayerShape(300), LayerShape(200)
    layout = SparseLayout(tuple(shapes))
    bits = [torch.rand(2, shape.units, generator=generator) < 0.5 for shape in shapes]
    mask, previous = (
        BitMask.from_bools(layout, rows)
        for rows in ([now for now, _ in bits], [now | gone for now, gone in bits])
    )
    buffers = [
        torch.randn(shape.elements, generator=generator).to(DTYPES[layer % 3])
        for layer, shape in enumerate(shapes)
    ]
    return Case(seed, layout, buffers, [0] * LAYERS, mask, previous, random.Random(seed))


@pytest.mark.parametrize("backend", ["cuda-shuffled"], indirect=True)
@pytest.mark.parametrize("op", [op.name for op in OPS.values() if "cuda" in op.backends])
def test_equals_the_reference(op, backend):
    case = many_layers(seed=len(op))
    check_backends(case, CALLS[op](case), (backend,))
