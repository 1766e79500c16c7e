"""What the products share: their backend is that of a route, and none has a double backward."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from dsr_kernels.dispatch import register
from dsr_kernels.routes import choose_route, preferred


def register_product(
    product: str,
    op: str,
    outputs: Callable[..., Tensor],
    units_at: int,
    rows: Callable[..., int] | None = None,
) -> None:
    """Register a product, or a gradient of it, as :func:`dsr_kernels.dispatch.register` does.

    Args:
        product: whose routes to take.
        op: the product itself, or the op of one of its gradients, which then refuses to be
            differentiated.
        outputs: takes the op's arguments and returns its output, uninitialised.
        units_at: which argument is the layer's (outer, unit_size, inner).
        rows: takes the op's arguments and returns the rows of the input; default: all sizes of
            the first argument but the last.
    """

    def prefers(*args: Any) -> Sequence[str]:
        route = choose_route(
            product,
            rows=_rows(*args) if rows is None else rows(*args),
            elements=math.prod(args[units_at]),
            dtype=args[0].dtype,
            structure=args[-1],
            device=args[0].device,
        )
        return preferred(route)

    register(op, outputs=outputs, mutates=_nothing, prefers=prefers)
    if op != product:
        refuse_double_backward(product, op)


def as_rows(tensor: Tensor) -> Tensor:
    """A tensor as a matrix: its leading sizes made one."""
    return tensor.unsqueeze(0) if tensor.dim() == 1 else tensor.flatten(0, -2)


def _rows(first: Tensor, *rest: Any) -> int:
    return first.numel() // max(first.shape[-1], 1)


def _nothing(*args: Any) -> Sequence[Tensor]:
    return ()


def refuse_double_backward(product: str, op: str) -> None:
    """Let the backward of ``op``, a gradient of ``product``, raise."""

    def backward(ctx: Any, *grads: Tensor) -> NoReturn:
        raise RuntimeError(
            f"{product}: there is no double backward; call backward without create_graph, or use "
            "torch.nn.functional on a weight that is masked beforehand"
        )

    torch.library.register_autograd(f"dsr_kernels::{op}", backward)
