"""Names and values given as text: a method's hyper-parameters, and what was meant by a typo."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
from collections.abc import Callable, Iterable
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

Scalar = bool | int | float | str | tuple[float, ...] | None

NUMBERS = tuple[float, ...]
MAX_SEEDS = 1000

_BOOLS = {"true": True, "false": False}


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuse a value that is not one of ``choices``, with the closest one as a suggestion.

    Raises:
        ValueError: starts with ``name``.
    """
    known = sorted(choices)
    if value in known:
        return
    close = difflib.get_close_matches(str(value), known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}{hint}")


def hyper_parameters(method: type) -> dict[str, dataclasses.Field[Any]]:
    """The fields of a method that its constructor takes, by name, in order."""
    return {field.name: field for field in dataclasses.fields(method) if field.init}


def own_options(method: type) -> list[str]:
    """The hyper-parameters that ``-o`` sets: all but the sparsity and the L1 coefficient."""
    return [name for name in hyper_parameters(method) if name not in ("sparsity", "l1")]


def parse_option(method: type, text: str, prefix: str = "options") -> tuple[str, Scalar]:
    """One ``name=value`` of a method, the value converted to the field's type.

    Args:
        method: the method's class, a dataclass.
        text: ``name=value``; ``none``, ``true`` and ``false`` are the Python constants.
        prefix: goes before the name in the text of an error about the value.

    Returns:
        The name and the value.

    Raises:
        ValueError: starts with ``options``; no ``=``, a name the method has not, a value that
            is not of the field's type.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"options: expected name=value, got {text!r}")
    check_option(method, name)
    return name, _parse_value(f"{prefix}.{name}", value, get_type_hints(method)[name])


def check_option(method: type, name: str) -> None:
    """Refuse a name that is no hyper-parameter of ``method`` or has a flag of its own."""
    if name in ("sparsity", "l1") and name in hyper_parameters(method):
        raise ValueError(f"options: {name} has a flag of its own, use --{name}")
    if not own_options(method):
        raise ValueError(f"options: this method has none, got {name!r}")
    check_choice("options", name, own_options(method))


def parse_list(name: str, text: str, kind: type[float] | type[str] = str) -> list[Any]:
    """Values separated by commas.

    Raises:
        ValueError: starts with ``name``; an empty or malformed value.
    """
    try:
        values = [kind(part.strip()) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or "" in values:
        what = "names" if kind is str else "numbers"
        raise ValueError(f"{name}: expected {what} separated by commas, got {text!r}")
    return values


def parse_seeds(text: str) -> list[int]:
    """Seeds such as ``0-4`` or ``0,3,10-12``.

    Raises:
        ValueError: starts with ``seeds``.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})(?:-(\d{1,10}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < first + MAX_SEEDS:
            raise ValueError(
                f"seeds: expected seeds such as 0-4 or 0,3,7, at most {MAX_SEEDS}, got {text!r}"
            )
        seeds += range(first, last + 1)
    return seeds


def _parse_value(name: str, text: str, hint: Any) -> Scalar:
    kinds = list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]
    for kind in kinds:
        if kind in _PARSERS and (found := _PARSERS[kind][1](text)) is not _NO_MATCH:
            return found
        if get_origin(kind) is Literal and text in get_args(kind):
            return text
        if kind == NUMBERS and text:
            numbers = [_parse_float(part) for part in text.split(",")]
            if _NO_MATCH not in numbers:
                return tuple(numbers)
    expected = " or ".join(_describe(kind) for kind in kinds)
    raise ValueError(f"{name}: expected {expected}, got {text!r}")


def _describe(kind: Any) -> str:
    if kind in _PARSERS:
        return _PARSERS[kind][0]
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if kind == NUMBERS:
        return "finite numbers separated by commas"
    return f"a {getattr(kind, '__name__', kind)} (from Python only)"


_NO_MATCH: Any = object()


def _parse_int(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        return _NO_MATCH


def _parse_float(text: str) -> Any:
    try:
        value = float(text)
    except ValueError:
        return _NO_MATCH
    return value if math.isfinite(value) else _NO_MATCH


_PARSERS: dict[Any, tuple[str, Callable[[str], Any]]] = {
    type(None): ("none", lambda text: None if text.lower() == "none" else _NO_MATCH),
    bool: ("true or false", lambda text: _BOOLS.get(text.lower(), _NO_MATCH)),
    int: ("an integer", _parse_int),
    float: ("a finite number", _parse_float),
    str: ("text", lambda text: text),
}
