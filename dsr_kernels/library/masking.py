"""What the products share: masking one layer's tensor in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from dsr_kernels.dispatch import run_part
from dsr_kernels.layout import LayerShape, SparseLayout


def mask_(tensor: Tensor, words: Tensor, units: Sequence[int]) -> Tensor:
    """+0.0 at the inactive units of a dense tensor, in place. Returns the tensor."""
    run_part("apply_mask_", [tensor], [0], words, _table(tuple(units), words.device))
    return tensor


def masked_weight(weight: Tensor, words: Tensor, units: Sequence[int], is_masked: bool) -> Tensor:
    """The weight with zeros where it is inactive: itself if the caller says that it is so."""
    return weight if is_masked else mask_(weight.clone(), words, units)


@lru_cache(maxsize=1024)
def _table(units: tuple[int, ...], device: torch.device) -> Tensor:
    """The table of a layout of one layer. It starts at the words of that layer."""
    return SparseLayout((LayerShape(*units),)).table(device)
