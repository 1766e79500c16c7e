"""What the products share: masking one layer's tensor in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache

import torch
from torch import Tensor

from dsr_kernels import extension, triton_kernels
from dsr_kernels.dispatch import naming, run_part
from dsr_kernels.layout import LayerShape, SparseLayout


def mask_(tensor: Tensor, words: Tensor, units: Sequence[int]) -> Tensor:
    """+0.0 at the inactive units of a dense tensor, in place. Returns the tensor."""
    if _is_native(tensor):
        return extension.masked_copy(tensor, words, units, tensor)
    run_part("apply_mask_", [tensor], [0], words, _table(tuple(units), words.device))
    return tensor


def masked_weight(weight: Tensor, words: Tensor, units: Sequence[int], is_masked: bool) -> Tensor:
    """The weight with zeros where it is inactive: itself if the caller says that it is so."""
    if is_masked:
        return weight
    if _is_native(weight):
        return extension.masked_copy(weight, words, units, torch.empty_like(weight))
    if weight.is_cuda and not triton_kernels.unavailable(weight.device):
        return _copy_by_triton()(weight, words, units)
    return mask_(weight.clone(), words, units)


@cache
def _copy_by_triton() -> Callable[..., Tensor]:
    from dsr_kernels.triton_kernels.masked_copy import masked_copy

    return naming("masked_copy", masked_copy)


def _is_native(tensor: Tensor) -> bool:
    """Whether one pass of the C++ module copies and masks, or masks in place."""
    return tensor.device.type == "cpu" and not isinstance(extension.module("cpu"), str)


@lru_cache(maxsize=1024)
def _table(units: tuple[int, ...], device: torch.device) -> Tensor:
    """The table of a layout of one layer. It starts at the words of that layer."""
    return SparseLayout((LayerShape(*units),)).table(device)
