"""One product with all its tensors, and whether a result is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.case import require
from benchmarks.masked_products.places import HINTS, Place, flags_of
from benchmarks.products import TOLERANCE
from dsr_kernels import BitMask, SparseLayout

Product = Callable[[Tensor, Tensor], Tensor]
# Convolutions go through TF32 on a GPU unless torch is told otherwise.
TF32_TOLERANCE = 5e-3


@dataclass
class Layer:
    """One place with its tensors, all of one dtype on one device.

    Attributes:
        place: what it is.
        function: ``function(x, weight)``, torch's own dense product.
        x: [rows, in] or [images, in, height, width], requires a gradient.
        weight: normal numbers, also under the mask; requires a gradient.
        flags: bool, of the weight's shape and strides: True where it is active.
        grad: of the output.
    """

    place: Place
    function: Product
    x: Tensor
    weight: Tensor
    flags: Tensor
    grad: Tensor

    @cached_property
    def dense(self) -> Tensor:
        """The weight with zeros where it is inactive."""
        return self.weight.detach().masked_fill(~self.flags, 0).requires_grad_()

    @cached_property
    def factor(self) -> Tensor:
        """The mask as ``w * mask`` takes it."""
        return self.flags.to(self.weight.dtype)

    @cached_property
    def mask(self) -> BitMask:
        flat = _in_memory_order(self.flags).flatten()
        layout = SparseLayout.of_elements([len(flat)])
        return BitMask.from_bools(layout, [flat])

    @cached_property
    def expected(self) -> tuple[Tensor, Tensor, Tensor]:
        """Output, gradient of x and of the weight, this one zero where the weight is inactive."""
        output = self.function(self.x, self.dense)
        grad_x, grad_weight = torch.autograd.grad(output, (self.x, self.dense), self.grad)
        return output.detach(), grad_x, grad_weight.masked_fill_(~self.flags, 0)

    @property
    def more(self) -> dict[str, int]:
        """What a convolution takes besides."""
        layer = self.place.layer
        conv = self.place.op == "masked_conv2d"
        return {"stride": layer.stride, "padding": layer.padding} if conv else {}

    @property
    def hint(self) -> str:
        return HINTS[self.place.structure]

    @property
    def rows(self) -> int:
        """Of the output taken as a matrix."""
        return self.grad.numel() // self.weight.shape[0]

    def check(self, output: Tensor, grads: Sequence[Tensor]) -> None:
        """Raise ``WrongResultError`` unless these are what pre-masked dense computes."""
        tolerance = TOLERANCE.get(self.x.dtype, 0.03)
        if self.x.device.type == "cuda":
            tolerance = max(tolerance, TF32_TOLERANCE)
        names = ("output", "gradient of x", "gradient of the weight")
        for name, result, truth in zip(names, (output, *grads), self.expected, strict=True):
            if result.layout != torch.strided:
                result = result.to_dense()
            if result.dim() == 1 and name == names[2]:  # of packed values
                truth = _in_memory_order(truth)[_in_memory_order(self.flags)]
            elif name == names[2]:
                result = result.masked_fill(~self.flags, 0)
            error = ((result - truth).abs().max() / truth.abs().max().clamp(min=1e-6)).item()
            require(error < tolerance, f"{name}: off by {error:.3g}")


def build(place: Place, dtype: torch.dtype, device: torch.device) -> Layer:
    """The layer of a place; on a GPU a convolution is channels_last."""
    generator = torch.Generator(device).manual_seed(0)
    conv = place.op == "masked_conv2d"
    layout = torch.channels_last if conv and device.type == "cuda" else torch.contiguous_format

    def normal(*shape: int) -> Tensor:
        made = torch.randn(shape, generator=generator, device=device, dtype=dtype)
        return made.contiguous(memory_format=layout)

    function: Any = functional.linear
    if conv:
        function = partial(
            functional.conv2d, stride=place.layer.stride, padding=place.layer.padding
        )
    weight = normal(*place.layer.weight)
    flags = flags_of(place.layer.weight, place.sparsity, place.structure).to(device)
    flags = flags.contiguous(memory_format=layout)
    x = normal(place.rows, *place.layer.x)
    with torch.no_grad():
        grad = torch.randn_like(function(x, weight))
    return Layer(place, function, x.requires_grad_(), weight.requires_grad_(), flags, grad)


def _in_memory_order(tensor: Tensor) -> Tensor:
    """A contiguous view, its elements as they lie in memory."""
    last = tensor.dim() == 4 and not tensor.is_contiguous()
    return tensor.permute(0, 2, 3, 1) if last else tensor
