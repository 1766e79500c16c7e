"""The hooks that keep a model sparse between the calls of an ordinary training loop."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Variable
from torch.utils.hooks import RemovableHandle

from dsr.methods.base import Method
from dsr.methods.protocol import Rules

FSDP = ("FSDPModule", "FullyShardedDataParallel")


class AttachGuard:
    """A forward hook that refuses training until ``attach`` removes it. Its copies do nothing."""

    def __init__(self, model: nn.Module | None) -> None:
        self._model = None if model is None else weakref.ref(model)

    def __call__(self, module: nn.Module, args: Any) -> None:
        guarded = self._model is not None and self._model() is module
        if guarded and module.training and torch.is_grad_enabled():
            raise RuntimeError(
                "the model is being trained before sparse.attach(optimizer): its masks would be "
                "lost at the first optimizer step. Attach first, or call sparse.detach()"
            )

    def __reduce__(self) -> tuple[type[AttachGuard], tuple[None]]:
        return AttachGuard, (None,)  # a deepcopy or a saved model is nobody's to attach


def refuse_sharding(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Refuse what spreads parameters or optimizer state over ranks: each rank needs all of it.

    Raises:
        TypeError: names FSDP or the optimizer.
    """
    if "ZeroRedundancyOptimizer" in {cls.__name__ for cls in type(optimizer).__mro__}:
        raise TypeError(
            "optimizer: ZeroRedundancyOptimizer is not supported: it keeps the state of most "
            "parameters on other ranks; use the optimizer itself with DDP"
        )
    for group in optimizer.param_groups:
        if any(map(is_flattened, group["params"])):
            raise TypeError(
                "model: FSDP is not supported, and FullyShardedDataParallel has wrapped it since "
                "dsr.sparsify; use DDP"
            )
    for name, module in model.named_modules():
        for cls in type(module).__mro__:
            if cls.__name__ in FSDP:
                where = f" in {name}" if name else ""
                raise TypeError(f"model: FSDP is not supported, got {cls.__name__}{where}; use DDP")


def is_flattened(parameter: Tensor) -> bool:
    """Whether FullyShardedDataParallel made this parameter, or a view of it, part of its own."""
    return getattr(parameter, "_fsdp_flattened", False)


class BackwardEnd:
    """Calls a function at the end of each backward pass that reaches a sparse parameter.

    Gradients are complete then, DDP's reduction included, and nobody has read them yet. That holds
    for reentrant checkpointing too, whose passes within a pass end before DDP's reduction does,
    since with a process group every parameter is hooked: the last one is ready in the last pass,
    as long as the parameters are all that DDP reduces. Each hook costs the host time in each pass,
    so without a group only the sparse parameters have one.

    Args:
        sparse: the sparse parameters.
        every: gives all parameters of the model.
        on_end: takes no argument.
    """

    def __init__(
        self,
        sparse: Iterable[Tensor],
        every: Callable[[], Iterable[Tensor]],
        on_end: Callable[[], None],
    ) -> None:
        self._on_end = on_end
        self._graph_task = -1
        self._hooked: set[int] = set()
        self._handles: list[RemovableHandle] = []
        self._every, self._are_all_hooked = every, False
        self._hook(sparse)
        self._hook_all_of_a_group()

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _hook(self, parameters: Iterable[Tensor]) -> None:
        own = weakref.ref(self)  # a parameter must not keep the sparsifier alive
        graph_task = torch._C._current_graph_task_id

        def accumulated(parameter: Tensor) -> None:
            self_ = own()
            if self_ is not None and self_._graph_task != graph_task():
                self_._begin(graph_task())

        for parameter in parameters:
            if parameter.requires_grad and id(parameter) not in self._hooked:
                self._hooked.add(id(parameter))
                self._handles.append(parameter.register_post_accumulate_grad_hook(accumulated))

    def _hook_all_of_a_group(self) -> None:
        if self._are_all_hooked or not distributed.is_available():
            return
        if distributed.is_initialized():
            self._are_all_hooked = True
            self._hook(self._every())

    def _begin(self, graph_task: int) -> None:
        """The pass of that number has reached a hooked parameter, the first time in it."""
        # By its number, not a flag: a backward that raised leaves nothing to reset.
        self._graph_task = graph_task
        self._hook_all_of_a_group()
        engine = Variable._execution_engine
        # Twice, so that it runs behind callbacks that other hooks (DDP's) queue meanwhile.
        engine.queue_callback(lambda: engine.queue_callback(self._on_end))


def is_captured(device: torch.device) -> bool:
    """Whether what happens now goes into a CUDA graph."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def refuse_capture(
    method: Method, rules: Rules | None, strict: bool, optimizer: torch.optim.Optimizer
) -> None:
    """Refuse to capture a step that is not the same in every replay, or has to wait.

    Raises:
        RuntimeError: names the method, ``strict`` or GradScaler.
    """
    if strict:
        raise RuntimeError("optimizer.step: strict looks at every gradient, no CUDA graph can")
    if getattr(optimizer, "found_inf", None) is not None:
        raise RuntimeError(
            "optimizer.step: GradScaler may skip it, and a replay would not say so; leave "
            "optimizer.step out of the CUDA graph"
        )
    if rules is not None and (rules.before_step or rules.dense_gradient == "due"):
        raise RuntimeError(
            f"optimizer.step: {type(method).__name__} does something else in some steps, which a "
            "CUDA graph would repeat; leave optimizer.step out of it"
        )


def refuse_captured_backward(method: Method, device: torch.device) -> None:
    """Refuse to capture a backward pass whose gradients are masked in some steps only.

    Raises:
        RuntimeError: names the method.
    """
    if is_captured(device):
        raise RuntimeError(
            f"backward: {type(method).__name__} needs the gradients of inactive weights in some "
            "steps, and a CUDA graph would mask them in all or in none; "
            "torch.cuda.make_graphed_callables leaves that to the steps"
        )
