"""Which sparsifier holds a parameter: a model is made sparse by one at a time."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

# Parameter -> weak reference to the sparsifier that holds it.
_taken: Any = WeakIdKeyDictionary()


def claim(parameters: Iterable[Tensor], holder: weakref.ref[Any]) -> None:
    for parameter in parameters:
        _taken[parameter] = holder


def release(parameters: Iterable[Tensor], holder: weakref.ref[Any]) -> None:
    """Let go of what ``holder`` holds, and of nothing else."""
    for parameter in parameters:
        if _taken.get(parameter) is holder:
            del _taken[parameter]


def is_taken(parameter: Tensor, besides: weakref.ref[Any] | None = None) -> bool:
    """Whether a sparsifier holds the parameter, one that is not ``besides``."""
    holder = _taken.get(parameter)
    return holder is not None and (besides is None or holder() is not besides())
