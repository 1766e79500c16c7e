"""mask_and_count_ in plain PyTorch: the definition."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels.reference.apply_mask import apply_mask_


def mask_and_count_(
    tensors: Sequence[Tensor], layers: Sequence[int], words: Tensor, table: Tensor
) -> Tensor:
    apply_mask_(tensors, layers, words, table)
    counts = [(~torch.isfinite(tensor)).sum() for tensor in tensors]
    return torch.stack(counts) if counts else words.new_zeros(0, dtype=torch.int64)
