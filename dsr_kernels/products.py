"""What the products share: their backend is that of a route, and none has a double backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd import forward_ad

from dsr_kernels.dispatch import forced_backend, launcher, register, schema_of
from dsr_kernels.routes import choose_route, preferred

Call = Callable[..., Any]
_PLAIN = (Tensor, torch.nn.Parameter)
_is_batched = torch._C._functorch.is_legacy_batchedtensor


def register_product(
    product: str,
    op: str,
    outputs: Callable[..., Any],
    sizes: Callable[..., tuple[int, Sequence[int], int]],
) -> Call:
    """Register a product, or a gradient of it, as :func:`dsr_kernels.dispatch.register` does.

    Args:
        product: whose routes to take.
        op: the product itself, or the op of one of its gradients, which then refuses to be
            differentiated.
        outputs: takes the op's arguments and returns its output, uninitialised.
        sizes: takes the op's arguments and returns rows, weight and stride as
            :func:`dsr_kernels.routes.choose_route` takes them.

    Returns:
        Its implementation, as :func:`gradient` and :func:`differentiable` take it.
    """
    part = "forward" if op == product else "backward"

    def prefers(*args: Any) -> Sequence[str]:
        rows, weight, stride = sizes(*args)
        route = choose_route(
            product,
            rows=rows,
            weight=weight,
            stride=stride,
            part=part,
            dtype=args[0].dtype,
            structure=args[-1],
            device=args[0].device,
        )
        return preferred(route)

    run = register(op, outputs=outputs, mutates=_nothing, prefers=prefers)
    if op != product:
        refuse_double_backward(product, op)
    schema = schema_of(op)

    def direct(*args: Any) -> Any:
        # On a CPU there is nothing to choose.
        if args[0].is_cpu and forced_backend() is None:
            return launcher(schema, "library")(*args)
        return run(*args)

    return direct


def gradient(op: str, run: Call) -> Call:
    """A function of a gradient op's arguments: the op, or ``run`` where that is as good.

    torch's dispatcher costs ten times what the choice of a backend does.
    """
    through_torch = getattr(torch.ops.dsr_kernels, op).default

    def call(*args: Any) -> Any:
        # With create_graph the op is needed: it refuses to be differentiated. With
        # is_grads_batched torch's dispatcher calls it once for each gradient of the output.
        if torch.is_grad_enabled() or not is_plain(args) or _is_batched(args[0]):
            return through_torch(*args)
        return run(*args)

    return call


def differentiable(
    op: str, run: Call, setup_context: Callable[..., None], backward: Callable[..., Any]
) -> Call:
    """Tie a product to autograd. Returns a function of its arguments, as :func:`gradient` does.

    Args:
        op: the product.
        run: its implementation.
        setup_context, backward: as ``torch.library.register_autograd`` takes them.
    """
    torch.library.register_autograd(f"dsr_kernels::{op}", backward, setup_context=setup_context)
    through_torch = getattr(torch.ops.dsr_kernels, op).default

    def forward(ctx: Any, *args: Any) -> Any:
        output = run(*args)
        setup_context(ctx, args, output)
        return output

    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    eager: Any = type(op, (torch.autograd.Function,), members)

    def call(*args: Any) -> Any:
        if forward_ad._current_level >= 0:
            raise NotImplementedError(
                f"{op}: there is no forward-mode differentiation; use backward, or "
                "torch.nn.functional on a weight that is masked beforehand"
            )
        if not is_plain(args):
            return through_torch(*args)
        if torch.is_grad_enabled() and any(isinstance(t, Tensor) and t.requires_grad for t in args):
            return eager.apply(*args)
        return run(*args)

    return call


def is_plain(args: Sequence[Any]) -> bool:
    """Whether nothing but autograd would notice that torch's dispatcher is passed by.

    That is so for ordinary tensors on a CPU or a CUDA device, outside of tracing, of torch.func
    and of every mode.
    """
    if (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._are_functorch_transforms_active()
        or torch._C._is_torch_function_mode_enabled()
        or torch.jit.is_tracing()
    ):
        return False
    for arg in args:
        if isinstance(arg, Tensor) and not (type(arg) in _PLAIN and (arg.is_cpu or arg.is_cuda)):
            return False
    return True


def as_rows(tensor: Tensor) -> Tensor:
    """A tensor as a matrix: its leading sizes made one."""
    return tensor.unsqueeze(0) if tensor.dim() == 1 else tensor.flatten(0, -2)


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
