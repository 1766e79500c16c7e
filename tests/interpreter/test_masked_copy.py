"""The copy that masks a weight for the library's route selects, bit for bit."""

import pytest
import torch
import triton.language as tl

from dsr_kernels import BitMask, LayerShape, SparseLayout
from dsr_kernels.triton_kernels import masked_copy as module

UNITS = {
    "elements": LayerShape(5000),
    "one block": LayerShape(2048),
    "rows": LayerShape(70, 33),
    "strided": LayerShape(8, 9, 40),
    "none": LayerShape(0),
}


@pytest.mark.parametrize("offsets", [tl.int32, tl.int64], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("name", UNITS)
def test_it_selects(name, dtype, offsets, monkeypatch):
    monkeypatch.setattr(module, "offset_type", lambda units: offsets)
    torch.manual_seed(0)
    units = UNITS[name]
    mask = BitMask.from_bools(SparseLayout((units,)), [torch.rand(units.units) < 0.5])
    flags = mask.layer_elements(0)
    source = torch.randn(units.elements).to(dtype).masked_fill(~flags, float("nan"))
    source[flags.nonzero()[:1]] = float("inf")
    shape = [units.outer, units.unit_size, units.inner]
    copy = module.masked_copy(source, mask.words, shape)
    assert torch.equal(copy, torch.where(flags, source, 0.0))
    assert not torch.signbit(copy[~flags]).any()


def test_strides_are_kept():
    source = torch.randn(6, 10).t()
    mask = BitMask.from_bools(SparseLayout.of_elements([60]), [torch.arange(60) % 3 == 0])
    copy = module.masked_copy(source, mask.words, [60, 1, 1])
    assert copy.stride() == source.stride()
    flags = mask.layer_elements(0).as_strided(source.shape, source.stride())
    assert torch.equal(copy, torch.where(flags, source, 0.0))
