"""apply_mask_ on every backend: the shapes, dtypes and values it must get right."""

import pytest
import torch

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, SparseLayout

OP = "apply_mask_"
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
CANARY = 7.0
PAD = 64

LAYOUTS = {
    "elements": [LayerShape(n) for n in (0, 1, 31, 32, 33, 1023, 1024, 1025, 65537)],
    "rows": [LayerShape(33, 17), LayerShape(1, 40), LayerShape(3, 1100)],
    "kernel slices": [LayerShape(37, 9), LayerShape(1024, 9), LayerShape(0, 9)],
    "channels_last slices": [LayerShape(5, 9, 41), LayerShape(64, 9, 32), LayerShape(1, 2, 33)],
    "mixed": [LayerShape(5, 9, 41), LayerShape(70), LayerShape(12, 25), LayerShape(1, 1, 50)],
    "empty": [],
}


def between_canaries(shape, dtype, device, seed):
    """A buffer of canaries and, inside it, a layer's tensor holding every kind of value."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape.elements, generator=generator)
    for offset, value in enumerate((float("nan"), float("inf"), -float("inf"), -0.0, 1e-45)):
        values[offset::11] = value
    buffer = torch.full((shape.elements + 2 * PAD,), CANARY, dtype=dtype, device=device)
    tensor = buffer[PAD : PAD + shape.elements]
    tensor.copy_(values)
    return buffer, tensor


def random_mask(layout, sparsity=0.5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    bits = [torch.rand(s.units, generator=generator) >= sparsity for s in layout.layers]
    return BitMask.from_bools(layout, bits)


def expected(values, shape, bits):
    """The definition, written with index arithmetic of its own."""
    element = torch.arange(shape.elements)
    unit = element // (shape.unit_size * shape.inner) * shape.inner + element % shape.inner
    return torch.where(bits[unit], values, torch.zeros((), dtype=values.dtype))


def same_bits(a, b):
    return torch.equal(a.cpu().view(torch.uint8), b.cpu().view(torch.uint8))


def check(layout, mask, dtypes, device, backend, layers=None):
    layers = range(len(layout)) if layers is None else layers
    pairs = [
        between_canaries(layout.layers[layer], dtypes[j % len(dtypes)], device, seed=j)
        for j, layer in enumerate(layers)
    ]
    bits = mask.to_bools()
    wanted = [
        expected(tensor.cpu(), layout.layers[layer], bits[layer])
        for (_, tensor), layer in zip(pairs, layers, strict=True)
    ]
    on_device = mask.to(device)
    with dsr_kernels.backend(backend):
        dsr_kernels.apply_mask_([tensor for _, tensor in pairs], on_device, list(layers))
    for (buffer, tensor), result in zip(pairs, wanted, strict=True):
        assert same_bits(tensor, result)
        assert (buffer[:PAD] == CANARY).all()
        assert (buffer[PAD + tensor.numel() :] == CANARY).all()
    assert same_bits(on_device.words, mask.words)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", LAYOUTS)
def test_zeroes_inactive_units_only(name, dtype, backend, device):
    layout = SparseLayout(tuple(LAYOUTS[name]))
    check(layout, random_mask(layout), [dtype], device, backend)


@pytest.mark.parametrize("sparsity", [0.0, 0.9, 1.0])
def test_sparsities(sparsity, backend, device):
    layout = SparseLayout((LayerShape(3000), LayerShape(40, 9), LayerShape(4, 9, 33)))
    check(layout, random_mask(layout, sparsity), [torch.float32], device, backend)


def test_dtypes_may_differ_within_one_call(backend, device):
    layout = SparseLayout.of_elements([100, 33, 1000, 64, 7])
    check(layout, random_mask(layout), DTYPES, device, backend)


def test_several_tensors_of_one_layer(backend, device):
    layout = SparseLayout((LayerShape(100), LayerShape(6, 4, 5)))
    layers = [1, 0, 0, 1, 1]
    check(layout, random_mask(layout), DTYPES, device, backend, layers)


def test_more_tensors_than_one_launch_holds(backend, device):
    layout = SparseLayout.of_elements([33, 0, 5])
    layers = [j % 3 for j in range(600)]
    check(layout, random_mask(layout), [torch.float32], device, backend, layers)


def test_no_tensors(backend, device):
    mask = random_mask(SparseLayout.of_elements([10])).to(device)
    with dsr_kernels.backend(backend):
        dsr_kernels.apply_mask_([], mask, [])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_channels_last_weight(dtype, backend, device):
    out_channels, in_channels = 8, 37
    layout = SparseLayout((LayerShape(out_channels, 9, in_channels),))
    bits = torch.rand(out_channels, in_channels, generator=torch.Generator().manual_seed(1)) > 0.5
    mask = BitMask.from_bools(layout, [bits.flatten()]).to(device)
    weight = torch.ones(out_channels, in_channels, 3, 3, dtype=dtype, device=device)
    weight = weight.contiguous(memory_format=torch.channels_last)
    with dsr_kernels.backend(backend):
        dsr_kernels.apply_mask_([weight], mask)
    assert torch.equal(weight.cpu() != 0, bits[:, :, None, None].expand(weight.shape))


def test_same_result_when_repeated_with_other_tensors(backend, device):
    """Launch tables may be cached: new tensors, and old ones again, must both be served."""
    layout = SparseLayout.of_elements([50])
    mask = random_mask(layout).to(device)
    first, second = torch.ones(50, device=device), torch.ones(50, device=device)
    with dsr_kernels.backend(backend):
        dsr_kernels.apply_mask_([first], mask)
        dsr_kernels.apply_mask_([second], mask)
        first.fill_(1.0)
        dsr_kernels.apply_mask_([first], mask)
    assert same_bits(first, second)
    assert torch.equal(first.cpu() != 0, mask.to_bools()[0].cpu())


def test_changed_weight_is_noticed_by_autograd(backend, device):
    layout = SparseLayout.of_elements([12])
    mask = random_mask(layout).to(device)
    weight = torch.ones(3, 4, device=device, requires_grad=True)
    loss = (weight * weight).sum()
    with dsr_kernels.backend(backend):
        dsr_kernels.apply_mask_([weight], mask)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
