"""The hooks that keep a model sparse between the calls of an ordinary training loop."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Variable
from torch.utils.hooks import RemovableHandle


def refuse_training_before_attach(model: nn.Module) -> RemovableHandle:
    """Make a training forward raise until ``attach`` removes the hook."""

    def refuse(module: nn.Module, args: Any) -> None:
        if module.training and torch.is_grad_enabled():
            raise RuntimeError(
                "the model is being trained before sparse.attach(optimizer): its masks would be "
                "lost at the first optimizer step. Attach first, or call sparse.detach()"
            )

    return model.register_forward_pre_hook(refuse)


class BackwardEnd:
    """Calls a function once at the end of each backward pass that reaches any of the parameters.

    Gradients are complete then, DDP's reduction included, and nobody has read them yet.
    """

    def __init__(self, parameters: Sequence[Tensor], on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._graph_task = -1
        own = weakref.ref(self)  # a parameter must not keep the sparsifier alive

        def accumulated(parameter: Tensor) -> None:
            self_ = own()
            if self_ is not None:
                self_._accumulated()

        self._handles = [p.register_post_accumulate_grad_hook(accumulated) for p in parameters]

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _accumulated(self) -> None:
        task = torch._C._current_graph_task_id()
        if task == self._graph_task:
            return
        # By the number of the pass, not a flag: a backward that raised leaves nothing to reset.
        self._graph_task = task
        engine = Variable._execution_engine
        # Twice, so that it runs behind callbacks that other hooks (DDP's) queue meanwhile.
        engine.queue_callback(lambda: engine.queue_callback(self._on_end))


def step_was_skipped(optimizer: torch.optim.Optimizer) -> bool:
    """Whether GradScaler made this step of a fused optimizer a no-op (it sets ``found_inf``)."""
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found.item())
