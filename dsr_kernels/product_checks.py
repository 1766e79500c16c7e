"""Argument contracts of the products with masked weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dsr_kernels.checks import check_mask, check_vector, is_dense
from dsr_kernels.mask import BitMask
from dsr_kernels.routes import STRUCTURES

RANK_BITS = 1024  # mask bits that share one rank of a packed layer
FLOATING = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def check_layer(mask: Any, layer: Any) -> None:
    """``layer`` must number a layer of the mask."""
    check_mask(mask)
    if not isinstance(layer, int) or isinstance(layer, bool):
        raise TypeError(f"layer: expected an int, got {type(layer).__name__}")
    if not 0 <= layer < len(mask.layout):
        raise ValueError(f"layer: expected a layer in [0, {len(mask.layout)}), got {layer}")


def check_operand(tensor: Any, name: str, like: Tensor | None = None) -> None:
    """A strided tensor of a floating dtype, of the dtype and on the device of ``like``."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
    if tensor.layout != torch.strided:
        raise TypeError(f"{name}: expected a strided tensor, got layout {tensor.layout}")
    if tensor.dtype not in FLOATING:
        raise TypeError(f"{name}: expected a floating dtype, got {tensor.dtype}")
    if like is None:
        return
    if tensor.dtype != like.dtype:
        raise TypeError(
            f"{name}: expected {like.dtype} as x, got {tensor.dtype}; convert one, or use autocast"
        )
    if tensor.device != like.device:
        raise ValueError(f"{name}: expected device {like.device} as x, got {tensor.device}")


def check_weight(
    weight: Tensor, mask: BitMask, layer: int, dims: int | None = None, name: str = "weight"
) -> None:
    """A dense weight of ``dims`` dimensions with the layer's elements, beside the mask."""
    if dims is not None and weight.dim() != dims:
        raise ValueError(f"{name}: expected {dims} dimensions, got shape {list(weight.shape)}")
    elements = mask.layout.layers[layer].elements
    if weight.numel() != elements:
        raise ValueError(
            f"{name}: expected {elements} elements (layer {layer}), got shape {list(weight.shape)}"
        )
    if mask.device != weight.device:
        raise ValueError(f"mask: expected device {weight.device} as {name}, got {mask.device}")
    if not is_dense(weight):
        raise ValueError(
            f"{name}: expected memory without gaps or overlaps, got strides "
            f"{list(weight.stride())} for shape {list(weight.shape)}; pass {name}.contiguous()"
        )


def check_packed(values: Any, ranks: Any, mask: BitMask, layer: int) -> None:
    """What ``pack`` returns for a layer. How many values there must be only the kernel sees."""
    check_operand(values, "values")
    shape = mask.layout.layers[layer]
    if values.dim() != 1 or not values.is_contiguous() or values.numel() % shape.unit_size:
        raise ValueError(
            f"values: expected a contiguous vector of a multiple of {shape.unit_size} values "
            f"(layer {layer}), got shape {list(values.shape)}"
        )
    if values.device != mask.device:
        raise ValueError(f"values: expected device {mask.device} as mask, got {values.device}")
    check_vector(ranks, -(-shape.units // RANK_BITS) + 1, torch.int64, mask, "ranks")


def check_bias(bias: Any, outputs: int, like: Tensor) -> None:
    if bias is None:
        return
    check_operand(bias, "bias", like)
    if bias.shape != (outputs,):
        raise ValueError(f"bias: expected shape [{outputs}], got {list(bias.shape)}")


def check_hints(weight_is_masked: Any, structure: Any) -> None:
    if not isinstance(weight_is_masked, bool):
        raise TypeError(f"weight_is_masked: expected a bool, got {type(weight_is_masked).__name__}")
    if structure not in STRUCTURES:
        raise ValueError(f"structure: expected one of {', '.join(STRUCTURES)}, got {structure!r}")


def autocast(*tensors: Any) -> tuple[Any, ...]:
    """The tensors in the dtype that torch.autocast asks for, where it is on; float64 stays."""
    kind = next((t.device.type for t in tensors if isinstance(t, Tensor)), "cpu")
    if not torch.is_autocast_enabled(kind):
        return tensors
    dtype = torch.get_autocast_dtype(kind)
    return tuple(
        t.to(dtype)
        if isinstance(t, Tensor) and t.is_floating_point() and t.dtype != torch.float64
        else t
        for t in tensors
    )
