"""Argument contracts of the ops: each check names the argument, what was expected, what came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from dsr_kernels.mask import BitMask

KEY_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def check_mask(mask: Any, name: str = "mask") -> None:
    if not isinstance(mask, BitMask):
        raise TypeError(
            f"{name}: expected a BitMask, got {type(mask).__name__}; BitMask.from_bools makes one"
        )


def check_same_layout(mask: BitMask, other: BitMask, name: str) -> None:
    """``other`` must cover the same layers on the same device as ``mask``."""
    check_mask(other, name)
    if other.layout is not mask.layout and other.layout != mask.layout:
        raise ValueError(f"{name}: expected a mask of the same layout as mask, got {other}")
    if other.device != mask.device:
        raise ValueError(f"{name}: expected device {mask.device} as mask, got {other.device}")


def check_layer_tensors(
    tensors: Any,
    layers: Sequence[int] | None,
    mask: BitMask,
    name: str,
    dtypes: Sequence[torch.dtype] | None = None,
) -> list[int]:
    """One tensor a layer, or tensor j for layer ``layers[j]``. Returns the layer numbers."""
    if isinstance(tensors, Tensor) or not isinstance(tensors, Sequence):
        raise TypeError(f"{name}: expected a list of tensors, got {type(tensors).__name__}")
    count = len(mask.layout)
    if layers is None:
        if len(tensors) != count:
            raise ValueError(f"{name}: expected {count} tensors, one a layer, got {len(tensors)}")
        layers = range(count)
    elif len(layers) != len(tensors):
        raise ValueError(
            f"layers: expected {len(tensors)} numbers, one a tensor, got {len(layers)}"
        )
    shapes, device = mask.layout.layers, mask.device
    for j, (tensor, layer) in enumerate(zip(tensors, layers, strict=True)):
        if not isinstance(layer, int) or isinstance(layer, bool):
            raise TypeError(f"layers[{j}]: expected an int, got {layer!r}")
        if not 0 <= layer < count:
            raise ValueError(f"layers[{j}]: expected a layer in [0, {count}), got {layer}")
        # Nearly always, and this runs for every tensor in every step: no names are made.
        if not _fits(tensor, shapes[layer].elements, device, dtypes):
            _refuse_layer_tensor(tensor, layer, mask, f"{name}[{j}]", dtypes)
    return list(layers)


def _fits(
    tensor: Any, elements: int, device: torch.device, dtypes: Sequence[torch.dtype] | None
) -> bool:
    return (
        isinstance(tensor, Tensor)
        and tensor.layout == torch.strided
        and tensor.numel() == elements
        and (dtypes is None or tensor.dtype in dtypes)
        and tensor.device == device
        and is_dense(tensor)
    )


def _refuse_layer_tensor(
    tensor: Any, layer: int, mask: BitMask, name: str, dtypes: Sequence[torch.dtype] | None
) -> NoReturn:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
    if dtypes is not None and tensor.dtype not in dtypes:
        allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise TypeError(f"{name}: expected dtype {allowed}, got {tensor.dtype}")
    if tensor.layout != torch.strided:
        raise TypeError(f"{name}: expected a strided tensor, got layout {tensor.layout}")
    if tensor.device != mask.device:
        raise ValueError(f"{name}: expected device {mask.device} as mask, got {tensor.device}")
    elements = mask.layout.layers[layer].elements
    if tensor.numel() != elements:
        raise ValueError(
            f"{name}: expected {elements} elements (layer {layer}), got shape {list(tensor.shape)}"
        )
    raise ValueError(
        f"{name}: expected memory without gaps or overlaps, got strides "
        f"{list(tensor.stride())} for shape {list(tensor.shape)}; pass tensor.contiguous()"
    )


def check_vector(tensor: Any, size: int, dtype: torch.dtype, mask: BitMask, name: str) -> None:
    """A contiguous tensor of shape [size] on the mask's device."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
    if tensor.dtype != dtype:
        raise TypeError(f"{name}: expected dtype {dtype}, got {tensor.dtype}")
    if tensor.shape != (size,) or not tensor.is_contiguous():
        raise ValueError(
            f"{name}: expected a contiguous tensor of shape [{size}], got {list(tensor.shape)}"
        )
    if tensor.device != mask.device:
        raise ValueError(f"{name}: expected device {mask.device} as mask, got {tensor.device}")


def check_int(value: Any, bits: int, name: str) -> None:
    """An int in [0, 2^bits)."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}: expected an int, got {type(value).__name__}")
    if not 0 <= value < 2**bits:
        raise ValueError(f"{name}: expected an int in [0, 2^{bits}), got {value}")


def signed_seed(seed: int) -> int:
    """A seed in [0, 2^64) as the int64 of the same bits, which is what a schema's int holds."""
    return seed - 2**64 if seed >= 2**63 else seed


def is_dense(tensor: Tensor) -> bool:
    """Whether the elements fill one stretch of memory, in whatever order of dimensions."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size == 1:
            continue
        if stride != expected:
            return False
        expected *= size
    return True


def memory_order(tensor: Tensor) -> Tensor:
    """A dense tensor's elements as they lie in memory: a view of shape [elements]."""
    return tensor.as_strided((tensor.numel(),), (1,))
