"""The parts of a checkpoint: the state of modules, optimizers and dicts, taken and given back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Stateful(Protocol):
    """What modules, optimizers, schedulers, GradScaler and the sparsifier have in common."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state_dict: Any, /) -> Any: ...


Part: TypeAlias = Stateful | dict[Any, Any]


def check_part(part: Any, name: str) -> None:
    if not isinstance(part, dict | Stateful):
        raise TypeError(
            f"{name}: expected a dict or an object with state_dict() and load_state_dict(), got "
            f"{type(part).__name__}"
        )


def state_of(part: Any, name: str) -> dict[Any, Any]:
    check_part(part, name)
    state = part if isinstance(part, dict) else part.state_dict()
    if not isinstance(state, Mapping):
        raise TypeError(f"{name}: expected state_dict() to return a dict, got {type(state)}")
    return dict(state)


def check_names(parts: dict[str, Part], state: dict[str, Any], step: int) -> None:
    for name in parts:
        if name not in state:
            raise ValueError(
                f"{name}: the checkpoint of step {step} has no such part, it has {list(state)}"
            )
    for name in state:
        if name not in parts:
            raise ValueError(
                f"{name}: the checkpoint of step {step} has this part too; pass it as {name}=..."
            )


def load_parts(parts: dict[str, Part], state: dict[str, Any]) -> None:
    """Dicts come last: they cannot refuse their state, so a refusal leaves them as they were."""
    for name, part in parts.items():
        if isinstance(part, torch.optim.Optimizer):
            _load_optimizer(part, state[name])
        elif not isinstance(part, dict):
            part.load_state_dict(state[name])
    for name, part in parts.items():
        if isinstance(part, dict):
            part.clear()
            part.update(state[name])


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Optimizer.load_state_dict casts state to the parameter's dtype: put the saved bits back."""
    optimizer.load_state_dict(state)
    if type(optimizer).load_state_dict is not torch.optim.Optimizer.load_state_dict:
        return
    params = [param for group in optimizer.param_groups for param in group["params"]]
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    for number, param in zip(numbers, params, strict=True):
        for key, saved in state["state"].get(number, {}).items():
            loaded = optimizer.state[param].get(key)
            both = isinstance(saved, Tensor) and isinstance(loaded, Tensor)
            if both and saved.dtype != loaded.dtype:
                optimizer.state[param][key] = saved.to(loaded.device)
