"""What a sparsifier has to know of the optimizer whose steps it follows."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from dsr.claims import is_taken
from dsr.masked import Place

# The code that torch puts around every optimizer's step: it runs the hooks.
RUNS_HOOKS = torch.optim.Optimizer.profile_hook_step(lambda self: None).__code__


def check_type(optimizer: Any) -> None:
    """Refuse what is no optimizer, or one whose steps cannot be followed.

    Raises:
        TypeError: names the argument, and what to attach instead.
    """
    kind = type(optimizer).__name__
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"optimizer: expected a torch.optim.Optimizer, got {kind}")
    if not hasattr(optimizer, "_optimizer_step_pre_hooks"):
        raise TypeError(
            f"optimizer: expected one that takes step hooks, got {kind}, a wrapper that takes "
            "none; attach the optimizer it wraps"
        )


def check_followable(
    optimizer: torch.optim.Optimizer, places: Iterable[Place], owner: weakref.ref[Any]
) -> None:
    """Refuse an optimizer that lacks a sparse parameter, or has stepped with one.

    Raises:
        RuntimeError: another sparsifier than ``owner`` holds a parameter.
        ValueError: names the parameter.
    """
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for place in places:
        if is_taken(place.parameter, besides=owner):
            raise RuntimeError(f"attach: {place.name} is held by another sparsifier; use that one")
        if id(place.parameter) not in held:
            raise ValueError(
                f"optimizer: expected it to hold {place.name}, which it does not; one optimizer "
                "has to hold all sparse parameters, exclude those of another"
            )
        if has_stepped(optimizer, place.parameter):
            raise ValueError(
                f"optimizer: has state for {place.name} already; attach it before its first step "
                "or load_state_dict"
            )


def has_stepped(optimizer: torch.optim.Optimizer, parameter: Tensor) -> bool:
    """Whether the optimizer has state for the parameter that a step has made.

    Some, such as Adagrad, make theirs beforehand and count 0 steps in it.
    """
    state = optimizer.state.get(parameter) or {}
    return bool(state) and float(state.get("step", 1)) > 0


def make_hookable(optimizer: torch.optim.Optimizer) -> None:
    """Let ``step`` run hooks from the first one on.

    An optimizer that has not called ``Optimizer.__init__`` would only after ``zero_grad``, and one
    whose class has been given another ``step`` meanwhile, never.
    """
    if not getattr(type(optimizer).step, "hooked", False):
        optimizer._patch_step_function()


@torch.compiler.disable
def is_nested(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the step whose hook this is runs within another one that has the same hooks.

    torch wraps ``step`` in every class that defines it, so that one which calls ``super().step()``,
    or a wrapper that has its base's attributes, runs all hooks twice. The stack tells, also after a
    step that has raised.
    """
    hooks = optimizer._optimizer_step_pre_hooks
    frame: FrameType | None = sys._getframe()
    steps = 0
    while frame is not None and steps < 2:
        if frame.f_code is RUNS_HOOKS:
            own = frame.f_locals.get("self")
            steps += getattr(own, "_optimizer_step_pre_hooks", None) is hooks
        frame = frame.f_back
    return steps > 1


def refuse_closure(args: Any, kwargs: Any) -> None:
    """Refuse ``optimizer.step(closure)``, whose gradients come when the step has begun.

    Raises:
        ValueError: the arguments of the step, optimizer first, hold a closure.
    """
    if callable(kwargs.get("closure")) or any(map(callable, args[1:])):
        raise ValueError(
            "closure: this method changes gradients before the step, and a closure computes them "
            "in it; call backward, then optimizer.step() without one"
        )


def step_was_skipped(optimizer: torch.optim.Optimizer) -> bool:
    """Whether GradScaler made this step of a fused optimizer a no-op (it sets ``found_inf``).

    The host has to know before it counts the step: on a GPU this waits, as GradScaler itself does
    with optimizers that are not fused.
    """
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found.item())
