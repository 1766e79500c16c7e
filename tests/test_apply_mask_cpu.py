"""apply_mask_ in C++: any thread count gives the bits of the reference."""

import pytest
import torch

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, SparseLayout

# Large enough that two threads get work: below 2 ** 17 elements the kernel uses one.
SHAPES = (LayerShape(200_003), LayerShape(9_001, 9), LayerShape(64, 9, 131))


@pytest.fixture
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 3], indirect=True)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_thread_counts_agree(threads, dtype):
    generator = torch.Generator().manual_seed(0)
    layout = SparseLayout(SHAPES)
    bits = [torch.rand(shape.units, generator=generator) > 0.9 for shape in SHAPES]
    mask = BitMask.from_bools(layout, bits)
    tensors = [torch.randn(shape.elements, generator=generator).to(dtype) for shape in SHAPES]
    wanted = [tensor.clone() for tensor in tensors]
    with dsr_kernels.backend("reference"):
        dsr_kernels.apply_mask_(wanted, mask)
    with dsr_kernels.backend("cpu"):
        dsr_kernels.apply_mask_(tensors, mask)
    for tensor, result in zip(tensors, wanted, strict=True):
        assert torch.equal(tensor.view(torch.uint8), result.view(torch.uint8))


def test_cpu_is_chosen_for_cpu_tensors():
    schema = dsr_kernels.schema.OPS["apply_mask_"]
    assert dsr_kernels.dispatch.choose_backend(schema, torch.device("cpu")) == "cpu"
