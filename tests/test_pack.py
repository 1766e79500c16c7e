"""pack on every backend, and back: bits, order, ranks, and what it refuses."""

import pytest
import torch

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, SparseLayout, pack, unpack

OP = "pack"
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
SHAPES = {
    **{str(n): LayerShape(n) for n in (0, 1, 31, 33, 1023, 1024, 1025, 5000)},
    "rows": LayerShape(70, 17),
    "slices": LayerShape(1100, 9),
    "channels_last slices": LayerShape(30, 4, 41),
    "no groups": LayerShape(0, 9),
}
SPECIAL = (float("nan"), float("inf"), -0.0, 1e-45)


def sample(shape, sparsity=0.6, dtype=torch.float32, seed=0):
    """A layer between two others, so that neither its words nor its ranks start at 0."""
    generator = torch.Generator().manual_seed(seed)
    layout = SparseLayout((LayerShape(40), shape, LayerShape(3)))
    bits = [torch.rand(s.units, generator=generator) >= sparsity for s in layout.layers]
    tensor = torch.randn(shape.elements, generator=generator)
    for i, value in enumerate(SPECIAL):
        tensor[i::13] = value
    return tensor.to(dtype), BitMask.from_bools(layout, bits)


def packed_by_hand(tensor, mask, layer):
    """The definition, one unit at a time."""
    shape = mask.layout.layers[layer]
    bits = mask.to_bools()[layer].tolist()
    order = [
        (unit // shape.inner * shape.unit_size + u) * shape.inner + unit % shape.inner
        for unit, active in enumerate(bits)
        if active
        for u in range(shape.unit_size)
    ]
    counts = [sum(bits[:end]) for end in (*range(0, len(bits), 1024), len(bits))]
    return tensor[order], counts if bits else [0]


def same_bits(a, b):
    return a.dtype == b.dtype and torch.equal(a.cpu().view(torch.uint8), b.cpu().view(torch.uint8))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", SHAPES)
def test_values_and_ranks(name, dtype, backend, device):
    tensor, mask = sample(SHAPES[name], dtype=dtype)
    values, ranks = packed_by_hand(tensor, mask, 1)
    on_device = mask.to(device)
    with dsr_kernels.backend(backend):
        found, found_ranks = pack(tensor.to(device), on_device, 1)
        assert same_bits(found, values)
        assert found_ranks.tolist() == ranks
        dense = unpack(found, found_ranks, on_device, 1)
    expected = torch.where(mask.layer_elements(1), tensor, torch.zeros((), dtype=dtype))
    assert same_bits(dense, expected)


@pytest.mark.parametrize("sparsity", [0.0, 0.99, 1.0])
def test_sparsities(sparsity, backend, device):
    tensor, mask = sample(LayerShape(500, 9), sparsity)
    with dsr_kernels.backend(backend):
        found, _ = pack(tensor.to(device), mask.to(device), 1)
    assert same_bits(found, packed_by_hand(tensor, mask, 1)[0])


def test_a_tensor_of_several_dimensions_is_taken_in_memory_order(backend, device):
    tensor = torch.randn(6, 4, 3, 3).contiguous(memory_format=torch.channels_last)
    mask = BitMask.from_bools(SparseLayout.of_elements([216]), [torch.rand(216) < 0.5])
    with dsr_kernels.backend(backend):
        found, _ = pack(tensor.to(device), mask.to(device))
    in_order = tensor.permute(0, 2, 3, 1).flatten()
    assert same_bits(found, in_order[mask.to_bools()[0]])


def test_gradients_go_back_to_their_places(backend, device):
    tensor, mask = sample(LayerShape(30, 4, 5))
    tensor = torch.randn(len(tensor)).view(30, 4, 5).to(device).requires_grad_()
    mask = mask.to(device)
    with dsr_kernels.backend(backend):
        values, ranks = pack(tensor, mask, 1)
        dense = unpack(values, ranks, mask, 1)
        (dense * dense).sum().backward()
    active = mask.layer_elements(1).view(30, 4, 5)
    assert torch.equal(tensor.grad, 2 * tensor.detach().masked_fill(~active, 0))


def test_gradcheck():
    _, mask = sample(LayerShape(5, 3, 2), 0.4)
    tensor = torch.randn(30, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: pack(t, mask, 1)[0], tensor)
    values, ranks = pack(tensor.detach(), mask, 1)
    assert torch.autograd.gradcheck(lambda v: unpack(v, ranks, mask, 1), values.requires_grad_())


def test_any_number_of_threads_gives_the_same_bits():
    tensor, mask = sample(LayerShape(9000, 9))
    threads = torch.get_num_threads()
    try:
        found = []
        for count in (1, 3):
            torch.set_num_threads(count)
            values, ranks = pack(tensor, mask, 1)
            found.append((values, ranks, unpack(values, ranks, mask, 1)))
    finally:
        torch.set_num_threads(threads)
    assert all(same_bits(a, b) for a, b in zip(*found, strict=True))


def test_the_definition_refuses_a_wrong_count():
    tensor, mask = sample(LayerShape(8))
    with (
        dsr_kernels.backend("reference"),
        pytest.raises(ValueError, match=r"active: expected .*, as in the mask, got 8"),
    ):
        pack(tensor, mask, 1, active=8)


def test_rejects():
    tensor, mask = sample(LayerShape(8, 2))
    values, ranks = pack(tensor, mask, 1)
    short = values[:-2]
    for call, error, message in (
        (lambda: pack(tensor[:-1], mask, 1), ValueError, r"tensor: expected 16 elements \(layer 1"),
        (lambda: pack(tensor.long(), mask, 1), TypeError, "tensor: expected a floating dtype"),
        (lambda: pack(tensor, mask, 3), ValueError, "layer: expected a layer"),
        (
            lambda: pack(tensor, mask, 1, active=99),
            ValueError,
            r"active: expected a count in \[0, 8\], got 99",
        ),
        (lambda: unpack(values[1:], ranks, mask, 1), ValueError, "values: expected a contiguous"),
        (lambda: unpack(values, ranks[1:], mask, 1), ValueError, r"ranks: .* of shape \[2\]"),
        (lambda: unpack(values, ranks.int(), mask, 1), TypeError, "ranks: expected dtype"),
        (lambda: unpack(values.to("meta"), ranks, mask, 1), ValueError, "values: expected device"),
        (lambda: unpack(short, ranks, mask, 1), ValueError, "values: expected .* of them"),
    ):
        with pytest.raises(error, match=message):
            call()
