"""add_noise_ in C++ gives the bits of the reference."""

import pytest
import torch
from native_cases import cases, check_cpu, same_bits, torch_threads

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, SparseLayout, add_noise_

SCALES = (0.0, 1e-42, 1e-3, 0.5, 1.0, 3e38, float("inf"), float("nan"))


@pytest.mark.parametrize("block", range(3))
def test_equals_the_reference(block):
    for case in cases(1000, seed=block, large=4):
        scale = torch.tensor([case.random.choice(SCALES) for _ in case.layout.layers])
        draw = {
            "seed": case.random.choice((0, 2**64 - 1, case.random.getrandbits(64))),
            "counter": torch.tensor([case.random.choice((0, 7, 2**32 + 3, -1, 2**63 - 1))]),
            "purpose": case.random.choice((0, 2, 2**15 - 1)),
        }
        check_cpu(
            case, lambda c, scale=scale, draw=draw: add_noise_(c.tensors, c.mask, scale, **draw)
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [0.0, 1e-7, 1e-2, 3e4])
def test_every_16_bit_number_is_rounded_as_torch_does(dtype, scale):
    bits = torch.arange(-(2**15), 2**15).to(torch.int16)
    mask = BitMask.ones(SparseLayout.of_elements([len(bits)]))
    results = []
    for backend in ("cpu", "reference"):
        tensor = bits.clone().view(dtype)
        with dsr_kernels.backend(backend), torch_threads(1):
            add_noise_([tensor], mask, torch.tensor([scale]), seed=1, counter=torch.tensor([0]))
        results.append(tensor)
    assert same_bits(*results)
    before, nan = bits.view(dtype), bits.view(dtype).isnan()
    assert torch.equal(results[0].view(torch.int16)[nan], bits[nan])
    assert torch.equal(results[0][~nan], before[~nan]) == (scale == 0)


@pytest.mark.parametrize("fraction", [0.02, 0.5, 1.0])
def test_layers_that_several_threads_share(fraction):
    layout = SparseLayout((LayerShape(100_001), LayerShape(5_001, 9), LayerShape(301, 3, 131)))
    generator = torch.Generator().manual_seed(1)
    rows = [torch.rand(shape.units, generator=generator) < fraction for shape in layout.layers]
    mask = BitMask.from_bools(layout, rows)
    start = [torch.randn(shape.elements, generator=generator) for shape in layout.layers]
    results = []
    for backend, threads in (("reference", 1), ("cpu", 1), ("cpu", 2), ("cpu", 3)):
        tensors = [tensor.clone() for tensor in start]
        with dsr_kernels.backend(backend), torch_threads(threads):
            add_noise_(tensors, mask, torch.ones(3), seed=1, counter=torch.tensor([0]))
        results.append(tensors)
    for tensors in results[1:]:
        assert all(map(same_bits, tensors, results[0]))
