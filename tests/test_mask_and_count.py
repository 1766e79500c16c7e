"""mask_and_count_ on every backend: it masks as apply_mask_ does, and counts what is not finite."""

import pytest
import torch
from test_apply_mask import (
    CANARY,
    DTYPES,
    LAYOUTS,
    PAD,
    between_canaries,
    expected,
    random_mask,
    same_bits,
)

import dsr_kernels
from dsr_kernels import LayerShape, SparseLayout

OP = "mask_and_count_"
MASKED_ALREADY = pytest.mark.parametrize("masked_already", [False, True])


def check(layout, mask, dtypes, device, backend, layers=None, masked_already=False):
    layers = list(range(len(layout)) if layers is None else layers)
    pairs = [
        between_canaries(layout.layers[layer], dtypes[j % len(dtypes)], device, seed=j)
        for j, layer in enumerate(layers)
    ]
    bits = mask.to_bools()
    wanted = [
        expected(tensor.cpu(), layout.layers[layer], bits[layer])
        for (_, tensor), layer in zip(pairs, layers, strict=True)
    ]
    if masked_already:
        for (_, tensor), values in zip(pairs, wanted, strict=True):
            tensor.copy_(values)
    on_device = mask.to(device)
    with dsr_kernels.backend(backend):
        counts = dsr_kernels.mask_and_count_([tensor for _, tensor in pairs], on_device, layers)
    # x - x is 0 unless x is NaN or Inf.
    assert counts.tolist() == [int((values - values != 0).sum()) for values in wanted]
    assert counts.dtype == torch.int64
    for (buffer, tensor), values in zip(pairs, wanted, strict=True):
        assert same_bits(tensor, values)
        assert (buffer[:PAD] == CANARY).all()
        assert (buffer[PAD + tensor.numel() :] == CANARY).all()
    assert same_bits(on_device.words, mask.words)


@MASKED_ALREADY
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", LAYOUTS)
def test_masks_and_counts(name, dtype, masked_already, backend, device):
    layout = SparseLayout(tuple(LAYOUTS[name]))
    mask = random_mask(layout)
    check(layout, mask, [dtype], device, backend, masked_already=masked_already)


@pytest.mark.parametrize("sparsity", [0.0, 0.9, 1.0])
def test_sparsities(sparsity, backend, device):
    layout = SparseLayout((LayerShape(3000), LayerShape(40, 9), LayerShape(4, 9, 33)))
    check(layout, random_mask(layout, sparsity), [torch.float32], device, backend)


def test_dtypes_may_differ_and_layers_repeat(backend, device):
    layout = SparseLayout((LayerShape(1000), LayerShape(6, 4, 5)))
    check(layout, random_mask(layout), DTYPES, device, backend, [1, 0, 0, 1, 0, 0, 1])


@pytest.mark.parametrize("element", [0, 31, 32, 511, 512, 32767, 32768, 99_999, 100_002])
@pytest.mark.parametrize("value", [torch.nan, -torch.nan, torch.inf, -torch.inf])
def test_one_value_is_found_wherever_it_is(value, element, backend, device):
    layout = SparseLayout.of_elements([100_003])
    tensor = torch.full((100_003,), torch.finfo(torch.float32).max, device=device)
    tensor[element] = value
    for active, found in ((True, 1), (False, 0)):
        mask = random_mask(layout, sparsity=0.0)
        mask.words[element // 32] ^= (
            0 if active else (1 << element % 32) - (1 << 32 if element % 32 == 31 else 0)
        )
        with dsr_kernels.backend(backend):
            counts = dsr_kernels.mask_and_count_([tensor], mask.to(device))
        assert counts.tolist() == [found]
        assert tensor[element].item() == 0 or active
        assert int((tensor == torch.finfo(torch.float32).max).sum()) == 100_002


def test_no_tensors(backend, device):
    mask = random_mask(SparseLayout.of_elements([10])).to(device)
    with dsr_kernels.backend(backend):
        counts = dsr_kernels.mask_and_count_([], mask, [])
    assert counts.shape == (0,)
    assert counts.dtype == torch.int64
    assert counts.device == mask.device
