"""masked_linear by torch's own matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from dsr_kernels.library.masking import mask_, masked_weight
from dsr_kernels.products import as_rows


def masked_linear(
    x: Tensor,
    weight: Tensor,
    words: Tensor,
    bias: Tensor | None,
    units: Sequence[int],
    weight_is_masked: bool,
    structure: str,
) -> Tensor:
    masked = masked_weight(weight, words, units, weight_is_masked)
    return functional.linear(x, masked, bias).contiguous()


def masked_linear_grad_input(
    grad: Tensor,
    weight: Tensor,
    words: Tensor,
    units: Sequence[int],
    weight_is_masked: bool,
    structure: str,
) -> Tensor:
    masked = masked_weight(weight, words, units, weight_is_masked)
    return torch.matmul(grad, masked).contiguous()


def masked_linear_grad_weight(
    grad: Tensor,
    x: Tensor,
    words: Tensor,
    units: Sequence[int],
    strides: Sequence[int],
    structure: str,
) -> Tensor:
    grad, x = as_rows(grad), as_rows(x)
    shape = (grad.shape[1], x.shape[1])
    product = torch.empty_strided(shape, tuple(strides), dtype=x.dtype, device=x.device)
    torch.mm(grad.t(), x, out=product)
    return mask_(product, words, units)
