"""What only a GPU can show of apply_mask_: CUDA graphs, and layers beyond 2**31 elements."""

import pytest
import torch

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, SparseLayout

KERNELS = ("cuda", "triton")


def random_words(layout, device, seed):
    """A mask of random words; its layers are whole multiples of 128 units, so no padding."""
    generator = torch.Generator(device).manual_seed(seed)
    shape = (layout.words,)
    words = torch.randint(-(2**31), 2**31, shape, generator=generator, device=device)
    return BitMask(layout, words.to(torch.int32))


@pytest.mark.parametrize("name", KERNELS)
def test_graph_replay_equals_eager(name, device):
    layout = SparseLayout((LayerShape(4096), LayerShape(256, 9), LayerShape(4, 9, 64)))
    mask = random_words(layout, device, seed=0)
    later = random_words(layout, device, seed=1)
    weights = [torch.ones(shape.elements, device=device) for shape in layout.layers]
    with dsr_kernels.backend(name):
        dsr_kernels.apply_mask_(weights, mask)  # loads the kernel before the capture
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            dsr_kernels.apply_mask_(weights, mask)
    for weight in weights:
        weight.fill_(1.0)
    mask.words.copy_(later.words)
    graph.replay()
    for weight, active in zip(weights, later.to_elements(), strict=True):
        assert torch.equal(weight != 0, active)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("shape", [LayerShape(2**31 + 2**20), LayerShape(2**29 + 2**18, 4)])
def test_more_than_two_to_the_31_elements(name, shape, device):
    layout = SparseLayout((shape,))
    mask = random_words(layout, device, seed=0)
    weight = torch.ones(shape.elements, dtype=torch.float16, device=device)
    with dsr_kernels.backend(name):
        dsr_kernels.apply_mask_([weight], mask)
    bits = torch.arange(32, device=device, dtype=torch.int32)
    last = ((mask.words[-(2**14) :, None] >> bits) & 1).bool().flatten()
    last = last.repeat_interleave(shape.unit_size)
    assert torch.equal(weight[-last.numel() :] != 0, last)
    active = int(mask.counts().sum()) * shape.unit_size
    assert sum(int(part.count_nonzero()) for part in weight.split(2**28)) == active
