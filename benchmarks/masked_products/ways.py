"""Every way to multiply by a masked weight: ours, and what people use today."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

import dsr_kernels
from benchmarks.masked_products.layer import Layer
from benchmarks.ours import backends
from dsr_kernels.routes import PARTS, choose_route

BLOCKS = (64, 32, 16, 8, 4, 2, 1)  # of BSR: the largest that fits
DENSE = "pre-masked dense"


@dataclass(frozen=True)
class Steps:
    """Forward, and backward from what forward returned: gradients of x and of the weight.

    ``layer`` is the one whose results these are.
    """

    forward: Callable[[], Tensor]
    backward: Callable[[Tensor], Sequence[Tensor]]
    layer: Layer


@dataclass(frozen=True)
class Way:
    """One way; ``build`` prepares all that a user could keep between steps, and may fail.

    Attributes:
        name: unique at a place.
        kind: one of ``benchmarks.case.KINDS``.
        build: makes the steps for a layer.
        backend: what is forced meanwhile, for ours.
        route: the route that this is, for ours.
        chosen: whether it is what our op takes by itself there.
    """

    name: str
    kind: str
    build: Callable[[Layer], Steps]
    backend: str = ""
    route: str = ""
    chosen: bool = False


def ways_of(layer: Layer) -> list[Way]:
    """Ours first, pre-masked dense last."""
    op, device = layer.place.op, layer.x.device
    tiled = "triton" if layer.hint == "unstructured" else "triton-tiles"
    chosen = _chosen_routes(layer)
    found = []
    names = backends(device, [op])
    for name in names:
        route = tiled if name == "triton" else name
        found.append(
            Way(
                f"dsr ({route})", "ours", _masked, name, route, chosen == {route} or names == [name]
            )
        )
        if name == "library":
            masked = "dsr (library), weight masked already"
            found.append(Way(masked, "ours", _masked_already, name, route))
    if not any(way.chosen for way in found):  # forward and backward differ
        found.insert(0, Way("dsr (both routes)", "ours", _masked, "", "both", True))
    if op == "masked_linear":
        found.append(Way("dsr packed_linear", "ours", _packed, "", "library"))
    found += [
        Way("w * mask", "eager", _multiplied),
        Way("torch.compile of w * mask", "compiled", _compiled),
    ]
    if op == "masked_linear":
        found += [
            Way("torch.sparse CSR", "eager", _csr),
            Way("torch.sparse BSR", "eager", _bsr),
        ]
        if layer.place.structure == "unstructured":
            found.append(Way("2:4, half of the weights", "eager", _half))
    return [*found, Way(DENSE, "dense", _dense)]


def _chosen_routes(layer: Layer) -> set[str]:
    """The routes that our op takes by itself, forward and backward."""
    return {
        choose_route(
            layer.place.op,
            rows=layer.rows,
            weight=tuple(layer.weight.shape),
            stride=layer.place.layer.stride,
            part=part,
            dtype=layer.x.dtype,
            structure=layer.hint,
            device=layer.x.device,
        ).name
        for part in PARTS
    }


def _through(layer: Layer, forward: Callable[[], Tensor], weight: Tensor) -> Steps:
    """Steps whose backward is autograd's."""

    def backward(output: Tensor) -> Sequence[Tensor]:
        return torch.autograd.grad(output, (layer.x, weight), layer.grad)

    return Steps(forward, backward, layer)


def _ours(layer: Layer, weight: Tensor, *, weight_is_masked: bool) -> Steps:
    function = getattr(dsr_kernels, layer.place.op)

    def forward() -> Tensor:
        result: Tensor = function(
            layer.x,
            weight,
            layer.mask,
            structure=layer.hint,
            weight_is_masked=weight_is_masked,
            **layer.more,
        )
        return result

    return _through(layer, forward, weight)


def _masked(layer: Layer) -> Steps:
    return _ours(layer, layer.weight, weight_is_masked=False)


def _masked_already(layer: Layer) -> Steps:
    return _ours(layer, layer.dense, weight_is_masked=True)


def _packed(layer: Layer) -> Steps:
    values, ranks = dsr_kernels.pack(layer.dense.detach(), layer.mask)
    values.requires_grad_()
    outs = len(layer.weight)
    return _through(
        layer,
        lambda: dsr_kernels.packed_linear(layer.x, values, ranks, layer.mask, outs=outs),
        values,
    )


def _multiplied(layer: Layer) -> Steps:
    return _through(
        layer, lambda: layer.function(layer.x, layer.weight * layer.factor), layer.weight
    )


@cache
def _compiled_product() -> Callable[[Tensor, Tensor], Tensor]:
    """The elementwise part: the product is a call of torch's library, compiled or not."""
    return torch.compile(torch.mul, dynamic=True)


def _compiled(layer: Layer) -> Steps:
    masked = _compiled_product()
    return _through(
        layer, lambda: layer.function(layer.x, masked(layer.weight, layer.factor)), layer.weight
    )


def _dense(layer: Layer) -> Steps:
    return _through(layer, lambda: layer.function(layer.x, layer.dense), layer.dense)


def _csr(layer: Layer) -> Steps:
    """Both orders of the weight are there beforehand; the weight's gradient stays sparse."""
    dense, x, grad = layer.dense.detach(), layer.x.detach(), layer.grad
    weight, turned = dense.to_sparse_csr(), dense.t().contiguous().to_sparse_csr()
    crow, col = weight.crow_indices(), weight.col_indices()
    zeros = torch.sparse_csr_tensor(crow, col, torch.zeros_like(weight.values()), weight.shape)

    def sampled() -> Tensor:
        return torch.sparse.sampled_addmm(zeros, grad.t(), x, beta=0.0)

    def whole() -> Tensor:
        return (grad.t() @ x) * layer.factor

    of_weight = sampled if _runs(sampled) else whole
    return Steps(
        lambda: (weight @ x.t()).t(),
        lambda output: ((turned @ grad.t()).t(), of_weight()),
        layer,
    )


def _bsr(layer: Layer) -> Steps:
    """torch has no sampled product of blocks: the weight's gradient is dense, then masked."""
    dense, x, grad = layer.dense.detach(), layer.x.detach(), layer.grad
    block = next(size for size in BLOCKS if not any(side % size for side in dense.shape))
    weight = dense.to_sparse_bsr((block, block))
    turned = dense.t().contiguous().to_sparse_bsr((block, block))
    return Steps(
        lambda: (weight @ x.t()).t(),
        lambda output: ((turned @ grad.t()).t(), (grad.t() @ x) * layer.factor),
        layer,
    )


def _half(layer: Layer) -> Steps:
    """Its own mask, two weights in each four along both sides, whatever the place's sparsity."""
    places = [torch.arange(side, device=layer.x.device) for side in layer.weight.shape]
    flags = (places[0][:, None] + places[1]) % 4 < 2
    half = replace(layer, flags=flags)
    dense, x, grad = half.dense.detach(), layer.x.detach(), layer.grad
    weight = torch.sparse.to_sparse_semi_structured(dense)
    turned = torch.sparse.to_sparse_semi_structured(dense.t().contiguous())
    return Steps(
        lambda: torch.nn.functional.linear(x, weight),
        lambda output: (
            torch.nn.functional.linear(grad, turned),
            (grad.t() @ x) * half.factor,
        ),
        half,
    )


def _runs(function: Callable[[], object]) -> bool:
    try:
        function()
    except (RuntimeError, NotImplementedError):
        return False
    return True
