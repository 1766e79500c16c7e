"""packed_linear and its gradients in plain PyTorch: the definition."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from dsr_kernels.products import as_rows
from dsr_kernels.reference.pack import pack
from dsr_kernels.reference.unpack import unpack


def packed_linear(
    x: Tensor,
    values: Tensor,
    ranks: Tensor,
    words: Tensor,
    bias: Tensor | None,
    units: Sequence[int],
    outs: int,
) -> Tensor:
    weight = unpack(values, ranks, words, units).view(outs, x.shape[-1])
    return functional.linear(x, weight, bias).contiguous()


def packed_linear_grad_input(
    grad: Tensor, values: Tensor, ranks: Tensor, words: Tensor, units: Sequence[int], ins: int
) -> Tensor:
    weight = unpack(values, ranks, words, units).view(grad.shape[-1], ins)
    return torch.matmul(grad, weight).contiguous()


def packed_linear_grad_values(
    grad: Tensor, x: Tensor, words: Tensor, units: Sequence[int], active: int
) -> Tensor:
    product = torch.mm(as_rows(grad).t(), as_rows(x))
    return pack(product, words, units, active)[0]
