"""unpack on every backend against the definition; the way there and back is in test_pack.py."""

import pytest
import torch

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, SparseLayout, unpack

OP = "unpack"


@pytest.mark.parametrize(
    "shape", [LayerShape(0), LayerShape(2050), LayerShape(300, 7), LayerShape(9, 5, 130)], ids=str
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_values_come_back_to_their_places(shape, dtype, backend, device):
    generator = torch.Generator().manual_seed(0)
    bits = torch.rand(shape.units, generator=generator) < 0.3
    mask = BitMask.from_bools(SparseLayout((shape,)), [bits]).to(device)
    values = torch.arange(1, int(bits.sum()) * shape.unit_size + 1).to(dtype)
    before = torch.nn.functional.pad(bits.cumsum(0), (1, 0))
    starts = torch.tensor([*range(0, shape.units, 1024), shape.units] if shape.units else [0])
    with dsr_kernels.backend(backend):
        dense = unpack(values.to(device), before[starts].to(device), mask).cpu()
    expected = torch.zeros(shape.outer, shape.unit_size, shape.inner, dtype=dtype)
    rows = values.view(-1, shape.unit_size)
    for row, unit in zip(rows, bits.nonzero().flatten().tolist(), strict=True):
        expected[unit // shape.inner, :, unit % shape.inner] = row
    assert torch.equal(dense, expected.flatten())
