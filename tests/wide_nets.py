"""Nets with layers large enough for many blocks and whole warps, and nets of many layers.

The oracle is too slow for them: every backend is held to the reference.
"""

import torch
from modes import INTERPRETED

from dsr_kernels import BitMask, LayerShape, SparseLayout

NETS = ("wide", "many")
WIDE = (
    LayerShape(9001),
    LayerShape(4096),
    LayerShape(2050),
    LayerShape(290, 9),
    LayerShape(150, 70),
    LayerShape(7, 49, 33),
    LayerShape(0),
    LayerShape(40, 5, 7),
)
# Triton's interpreter takes a millisecond a program, and its launches know no limit of tensors.
MANY = 12 if INTERPRETED else 600
if INTERPRETED:
    WIDE = tuple(LayerShape(-(-shape.outer // 8), shape.unit_size, shape.inner) for shape in WIDE)
DTYPES = (torch.float32, torch.bfloat16, torch.float32, torch.float16)
LEVELS = 40.0  # few values, so that there are many equal ones


class WideNet:
    """One tensor a layer, its values rounded, and masks of about the sparsity asked for."""

    def __init__(self, name, device):
        self.device = device
        self.generator = torch.Generator().manual_seed(3)
        many = [LayerShape(i % 5 + (i == MANY - 7)) for i in range(MANY)]
        shapes = WIDE if name == "wide" else many
        self.layout = SparseLayout(tuple(shapes))
        self.units = self.layout.units
        self._values = [self._tensor(i, shape) for i, shape in enumerate(shapes)]

    def _tensor(self, index, shape):
        """Every third one begins where no vector could be loaded at once."""
        values = torch.randn(shape.elements + 1, generator=self.generator)
        values = (values * LEVELS).round() / LEVELS
        if shape.elements > 700 and shape.unit_size == 1:
            values[500], values[700] = float("nan"), float("inf")
        values = values.to(DTYPES[index % len(DTYPES)]).to(self.device)
        return values[1:] if index % 3 == 2 else values[:-1]

    def tensors(self):
        """Copies that lie in memory as the originals do."""
        copies = []
        for tensor in self._values:
            offset = tensor.storage_offset()
            copies.append(tensor.new_empty(len(tensor) + 1)[offset:][: len(tensor)].copy_(tensor))
        return copies

    def mask(self, sparsity):
        bits = [
            torch.rand(shape.units, generator=self.generator) >= sparsity
            for shape in self.layout.layers
        ]
        return BitMask.from_bools(self.layout, bits).to(self.device)

    def counts(self, fraction, per_layer):
        """About that fraction of each layer's units, or of all."""
        sizes = [shape.units for shape in self.layout.layers] if per_layer else [self.units]
        return torch.tensor([int(fraction * size + 0.5) for size in sizes], device=self.device)


def same(ours, theirs):
    """Whether two lists of tensors are equal bit for bit."""
    pairs = zip(ours, theirs, strict=True)
    return all(torch.equal(bits(a), bits(b)) for a, b in pairs)


def bits(tensor):
    if not tensor.is_floating_point():
        return tensor
    return tensor.view(torch.int32 if tensor.element_size() == 4 else torch.int16)
