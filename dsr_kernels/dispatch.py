"""Which backend runs an op, and the registration of every op with torch.

An op's implementation in torch is :func:`run`: it asks :func:`choose_backend` and calls that
backend's launcher. Nothing falls back silently: a forced backend that cannot run raises.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from dsr_kernels import extension
from dsr_kernels.schema import BACKENDS, OPS, OpSchema

_PREFERRED = {"cpu": ("cpu", "reference"), "cuda": ("cuda", "triton", "reference")}
_forced: ContextVar[str | None] = ContextVar("dsr_backend", default=None)
_library = torch.library.Library("dsr_kernels", "DEF")
_launchers: dict[tuple[str, str], Callable[..., Any]] = {}


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Force one backend for every op called inside.

    >>> with dsr_kernels.backend("reference"):
    ...     dsr_kernels.apply_mask_(weights, mask)

    The environment variable ``DSR_BACKEND`` does the same for a whole process.

    Raises:
        ValueError: ``name`` is no backend.
    """
    token = _forced.set(_known(name, "backend"))
    try:
        yield
    finally:
        _forced.reset(token)


def forced_backend() -> str | None:
    """The backend forced by :func:`backend` or ``DSR_BACKEND``, or None."""
    name = _forced.get() or os.environ.get("DSR_BACKEND") or None
    return None if name is None else _known(name, "DSR_BACKEND")


def explain(op: str) -> str:
    """Say in words, a line a backend, where ``op`` runs here and why not elsewhere."""
    if op not in OPS:
        raise ValueError(f"op: expected one of {', '.join(OPS)}, got {op!r}")
    schema = OPS[op]
    lines = [f"{op}: forced to {forced_backend()}" if forced_backend() else f"{op}:"]
    for name in BACKENDS:
        reason = unavailable(schema, name)
        lines.append(f"  {name}: {reason or 'available'}")
    for device, names in _PREFERRED.items():
        order = [name for name in names if name in schema.backends]
        lines.append(f"  {device} tensors: the first available of {', '.join(order)}; unmeasured")
    return "\n".join(lines)


def choose_backend(schema: OpSchema, device: torch.device) -> str:
    """The backend that runs ``schema`` on ``device``.

    Raises:
        RuntimeError: the forced backend cannot run, with the reason.
    """
    forced = forced_backend()
    if forced is not None:
        reason = unavailable(schema, forced, device)
        if reason:
            raise RuntimeError(
                f"{schema.name}: the forced backend {forced!r} cannot run here: {reason}"
            )
        return forced
    for name in _PREFERRED.get(device.type, ("reference",)):
        if not unavailable(schema, name, device):
            return name
    return "reference"


def unavailable(schema: OpSchema, name: str, device: torch.device | None = None) -> str:
    """Why backend ``name`` cannot run ``schema`` (on ``device``, if given), or ''."""
    if name in schema.missing:
        return schema.missing[name]
    if name == "reference":
        return ""
    if name == "triton":
        from dsr_kernels import triton_kernels

        return triton_kernels.unavailable(device)
    return extension.unavailable(name, device)


def register(
    op: str, outputs: Callable[..., Any], mutates: Callable[..., Sequence[Tensor]]
) -> None:
    """Give ``torch.ops.dsr_kernels.<op>`` its implementation and its fake.

    Args:
        op: name in :data:`dsr_kernels.schema.OPS`.
        outputs: takes the op's arguments and returns its outputs, uninitialised: the fake, and
            what the native launchers write into.
        mutates: takes the op's arguments and returns every tensor it changes, whose version
            counters are then bumped (torch does this for its own ops only).
    """
    schema = OPS[op]
    _library.define(op + schema.signature)

    def run(*args: Any) -> Any:
        changed = mutates(*args)
        device = _device_of(args)
        name = choose_backend(schema, device)
        launch = _launchers.get((op, name)) or _load(schema, name, outputs)
        result = launch(*args)
        increment_version(changed)
        return result

    _library.impl(op, run, "CompositeExplicitAutograd")
    torch.library.register_fake(f"dsr_kernels::{op}", outputs)


def _load(schema: OpSchema, name: str, outputs: Callable[..., Any]) -> Callable[..., Any]:
    """Import the launcher of one op in one backend on its first call."""
    if name in ("cpu", "cuda"):
        launcher = extension.launcher(schema.stem, name, outputs)
    else:
        folder = "reference" if name == "reference" else "triton_kernels"
        module = importlib.import_module(f"dsr_kernels.{folder}.{schema.stem}")
        launcher = getattr(module, schema.name)
    _launchers[schema.name, name] = launcher
    return launcher


def _device_of(args: Sequence[Any]) -> torch.device:
    for arg in args:
        if isinstance(arg, Tensor):
            return arg.device
    raise TypeError("an op needs a tensor argument")


def _known(name: str, where: str) -> str:
    if name not in BACKENDS:
        raise ValueError(f"{where}: expected one of {', '.join(BACKENDS)}, got {name!r}")
    return name
