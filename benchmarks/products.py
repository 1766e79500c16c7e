"""Forward and backward through the sparse layers of a net, every way of multiplying."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.case import Case, Provider, require
from benchmarks.inputs import Problem
from benchmarks.ours import ours

Multiply = Callable[["Layer", Tensor], Tensor]
# float32 sums of the same products in another order.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.03}
TF32_TOLERANCE = 0.02  # operands are cut to 11 bits


@dataclass
class Layer:
    """One product: ``function(x, weight)``, its tensors, and the mask in both forms.

    ``weight`` has values under the mask, ``dense`` has zeros there.
    """

    number: int
    function: Callable[[Tensor, Tensor], Tensor]
    x: Tensor
    weight: Tensor
    dense: Tensor
    flags: Tensor
    factor: Tensor
    grad: Tensor


def step(layers: Sequence[Layer], multiply: Multiply, *, dense: bool = False) -> list[Tensor]:
    """Outputs, gradients of the inputs and of the weights of all layers, in this order."""
    results = []
    for layer in layers:
        weight = layer.dense if dense else layer.weight
        output = multiply(layer, weight)
        results += [output, *torch.autograd.grad(output, (layer.x, weight), layer.grad)]
    return results


def build(p: Problem, number: int, x: Tensor, shape: Sequence[int], function: Any) -> Layer:
    """The layer of that number in a problem, its weight in ``shape``."""
    generator = torch.Generator(p.device).manual_seed(number)
    dense = p.layers(p.weights)[number].view(*shape)
    flags = p.layers(p.flags)[number].view(*shape)
    noise = torch.randn(dense.shape, generator=generator, device=p.device, dtype=dense.dtype)
    weight = torch.where(flags, dense, noise).requires_grad_()
    x = x.requires_grad_()
    with torch.no_grad():
        grad = torch.randn_like(function(x, dense))
    factor = flags.to(dense.dtype)
    return Layer(number, function, x, weight, dense.clone().requires_grad_(), flags, factor, grad)


def case(
    op: str,
    p: Problem,
    layers: Sequence[Layer],
    masked: Any,
    more: Mapping[str, Callable[[], list[Tensor]]] | None = None,
) -> Case:
    """Ours, ``w * mask`` and pre-masked dense, which is the line to hold.

    Args:
        op: the product.
        p: the net.
        layers: its layers.
        masked: ``masked(layer, weight, weight_is_masked)`` is our product.
        more: further ways that people take, by name.
    """
    check = checking(p, layers)

    def multiplied(layer: Layer, weight: Tensor) -> Tensor:
        return layer.function(layer.x, weight * layer.factor)

    compiled = torch.compile(multiplied, dynamic=True)
    providers = [
        *ours(
            p.device, [op], lambda: step(layers, lambda la, w: masked(la, w, False)), None, check
        ),
        Provider(
            "dsr, weight masked already",
            "ours",
            lambda: step(layers, lambda la, w: masked(la, w, True), dense=True),
            None,
            check,
        ),
        Provider("w * mask", "eager", lambda: step(layers, multiplied), None, check),
        Provider(
            "torch.compile of w * mask", "compiled", lambda: step(layers, compiled), None, check
        ),
        *(Provider(name, "eager", run, None, check) for name, run in (more or {}).items()),
        _dense(layers),
    ]
    return p.case(op, 0, providers)


def packed_case(
    op: str,
    p: Problem,
    layers: Sequence[Layer],
    ours_run: Callable[[], list[Tensor]],
    more: Mapping[str, Callable[[], list[Tensor]]],
) -> Case:
    """Ours, what people do today by name, and dense; the gradient is that of the packed values."""
    check = checking(p, layers, packed=True)
    providers = [
        *ours(p.device, [op], ours_run, None, check),
        *(Provider(name, "eager", run, None, check) for name, run in more.items()),
        _dense(layers),
    ]
    return p.case(op, 0, providers)


def checking(p: Problem, layers: Sequence[Layer], packed: bool = False) -> Callable[[object], None]:
    """A check of outputs and gradients against pre-masked dense."""
    results = step(layers, lambda layer, w: layer.function(layer.x, w), dense=True)
    # Without their graphs, which would tie a captured backward pass to the stream of this one.
    expected = [tensor.detach() for tensor in results]

    tf32 = p.device.type == "cuda" and p.net.dtype == torch.float32
    tolerance = TF32_TOLERANCE if tf32 else TOLERANCE[p.net.dtype]

    def check(results: Any) -> None:
        for i, (result, truth) in enumerate(zip(results, expected, strict=True)):
            layer, kind = layers[i // 3], i % 3
            if kind == 2 and packed:
                truth = truth[layer.flags]
            elif kind == 2:
                truth, result = (t.masked_fill(~layer.flags, 0) for t in (truth, result))
            if truth.numel() == 0:
                continue
            error = ((result - truth).abs().max() / truth.abs().max().clamp(min=1e-6)).item()
            require(error < tolerance, f"layer {layer.number}: off by {error}")

    return check


def _dense(layers: Sequence[Layer]) -> Provider:
    return Provider(
        "pre-masked dense",
        "dense",
        lambda: step(layers, lambda la, w: la.function(la.x, w), dense=True),
    )


def csr(layers: Sequence[Layer]) -> Callable[[], list[Tensor]]:
    """Forward and backward of linear layers by ``torch.sparse`` CSR products."""
    forward = [layer.dense.detach().to_sparse_csr() for layer in layers]
    backward = [layer.dense.detach().t().contiguous().to_sparse_csr() for layer in layers]

    def run() -> list[Tensor]:
        results = []
        for layer, weight, turned in zip(layers, forward, backward, strict=True):
            x = layer.x.detach()
            zeros = torch.sparse_csr_tensor(
                weight.crow_indices(),
                weight.col_indices(),
                torch.zeros_like(weight.values()),
                weight.shape,
            )
            grad = torch.sparse.sampled_addmm(zeros, layer.grad.t(), x, beta=0.0)
            results += [(weight @ x.t()).t(), (turned @ layer.grad.t()).t(), grad.to_dense()]
        return results

    return run


def linear(x: Tensor, weight: Tensor) -> Tensor:
    return functional.linear(x, weight)
