"""packed_linear by torch's own matrix products, on a weight that exists only meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from dsr_kernels.dispatch import run_part
from dsr_kernels.products import as_rows


def packed_linear(
    x: Tensor,
    values: Tensor,
    ranks: Tensor,
    words: Tensor,
    bias: Tensor | None,
    units: Sequence[int],
    outs: int,
) -> Tensor:
    weight = run_part("unpack", values, ranks, words, units).view(outs, x.shape[-1])
    return functional.linear(x, weight, bias).contiguous()


def packed_linear_grad_input(
    grad: Tensor, values: Tensor, ranks: Tensor, words: Tensor, units: Sequence[int], ins: int
) -> Tensor:
    weight = run_part("unpack", values, ranks, words, units).view(grad.shape[-1], ins)
    return torch.matmul(grad, weight).contiguous()


def packed_linear_grad_values(
    grad: Tensor, x: Tensor, words: Tensor, units: Sequence[int], active: int
) -> Tensor:
    product = torch.mm(as_rows(grad).t(), as_rows(x))
    packed: Tensor = run_part("pack", product, words, units, active)[0]
    return packed
