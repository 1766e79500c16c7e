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

from dsr_kernels import extension, routes
from dsr_kernels.backend_table import FASTER
from dsr_kernels.schema import BACKENDS, GRADIENTS, OPS, OpSchema
from dsr_kernels.workspace import note_changes

_PREFERRED = {
    "cpu": ("cpu", "library", "reference"),
    "cuda": ("cuda", "triton", "library", "reference"),
}
# Where the backends that are no native module keep their launchers.
_FOLDERS = {"triton": "triton_kernels", "library": "library", "reference": "reference"}
_forced: ContextVar[str | None] = ContextVar("dsr_backend", default=None)
_library = torch.library.Library("dsr_kernels", "DEF")
_launchers: dict[tuple[str, str], Callable[..., Any]] = {}
_outputs: dict[str, Callable[..., Any]] = {}


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


def explain(op: str, **conditions: Any) -> str:
    """Say in words, a line a backend, where ``op`` runs here and why not elsewhere.

    Args:
        op: a name in ``dsr_kernels.schema.OPS``.
        conditions: for a product, what :func:`dsr_kernels.routes.choose_route` takes: the answer
            then names the route of that call and the reason.

    Raises:
        TypeError, ValueError: there is no such op, or a condition is not as described, or the op
            has no routes and conditions were given.

    Example:
        >>> print(dsr_kernels.explain("masked_linear", rows=8192, dtype=torch.bfloat16))
    """
    if op not in OPS:
        raise ValueError(f"op: expected one of {', '.join(OPS)}, got {op!r}")
    schema = OPS[op]
    if conditions and "library" not in schema.backends:
        raise ValueError(f"{next(iter(conditions))}: {op} has no routes; expected no conditions")
    routes.check_conditions(op, **conditions)
    lines = [f"{op}: forced to {forced_backend()}" if forced_backend() else f"{op}:"]
    for name in BACKENDS:
        reason = unavailable(schema, name)
        lines.append(f"  {name}: {reason or 'available'}")
    if "library" in schema.backends:
        return "\n".join([*lines, *_route_lines(schema, conditions)])
    for device, names in _PREFERRED.items():
        order = [name for name in names if name in schema.backends]
        lines.append(f"  {device} tensors: the first available of {', '.join(order)}")
    return "\n".join([*lines, *_measured_lines(op)])


def _route_lines(schema: OpSchema, conditions: dict[str, Any]) -> list[str]:
    """The route of a product: that of the forced backend, or as ``routes`` tells."""
    forced = forced_backend()
    if forced is None:
        return routes.describe(schema.name, **conditions)
    device = torch.device(conditions["device"]) if "device" in conditions else None
    reason = unavailable(schema, forced, device)
    if reason:
        return [f"  route: none: the forced backend {forced} cannot run here: {reason}"]
    route = routes.forced_route(forced, conditions.get("structure", "unstructured"))
    return [f"  route: {route.name}: {route.reason}"]


def _measured_lines(op: str) -> list[str]:
    """What ``backend_table.py`` says of an op."""
    rows = [(gpu, ops[op]) for gpu, ops in FASTER.items() if op in ops]
    lines = [
        f"  on {gpu}: {name} first, measured {ratio:.2f} times as fast as the other kernel"
        for gpu, (name, ratio) in rows
    ]
    return lines or ["  cuda or triton first: unmeasured"]


def choose_backend(
    schema: OpSchema, device: torch.device, preferred: Sequence[str] | None = None
) -> str:
    """The backend that runs ``schema`` on ``device``: the first of ``preferred`` that can.

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
    return _first_available(schema, device, preferred)


def _first_available(
    schema: OpSchema, device: torch.device, preferred: Sequence[str] | None = None
) -> str:
    for name in preferred or _preferred(schema.name, device):
        if not unavailable(schema, name, device):
            return name
    return "reference"


def _preferred(op: str, device: torch.device) -> tuple[str, ...]:
    """Backends of an op on a device, best first: on a GPU what was measured to be faster there."""
    names = _PREFERRED.get(device.type, ())
    if device.type != "cuda" or not FASTER:
        return names
    first, _ = FASTER.get(torch.cuda.get_device_name(device), {}).get(op, ("cuda", 1.0))
    return tuple(dict.fromkeys((first, *names)))


def unavailable(schema: OpSchema, name: str, device: torch.device | None = None) -> str:
    """Why backend ``name`` cannot run ``schema`` (on ``device``, if given), or ''."""
    if name in schema.missing:
        return schema.missing[name]
    if name in ("library", "reference"):
        return ""
    if name == "triton":
        from dsr_kernels import triton_kernels

        return triton_kernels.unavailable(device)
    return extension.unavailable(name, device)


def register(
    op: str,
    outputs: Callable[..., Any],
    mutates: Callable[..., Sequence[Tensor]],
    prefers: Callable[..., Sequence[str]] | None = None,
) -> Callable[..., Any]:
    """Give ``torch.ops.dsr_kernels.<op>`` its implementation and its fake.

    Args:
        op: name in :data:`dsr_kernels.schema.OPS` or ``GRADIENTS``.
        outputs: takes the op's arguments and returns its outputs, uninitialised: the fake, and
            what the native launchers write into.
        mutates: takes the op's arguments and returns every tensor it changes, whose version
            counters are then bumped (torch does this for its own ops only).
        prefers: takes the op's arguments and returns backends, best first; default: an order by
            device.

    Returns:
        The implementation.
    """
    schema = schema_of(op)
    _outputs[op] = outputs
    _library.define(op + schema.signature)

    def run(*args: Any) -> Any:
        changed = mutates(*args)
        device = _device_of(args)
        name = choose_backend(schema, device, prefers and prefers(*args))
        result = launcher(schema, name)(*args)
        increment_version(changed)
        note_changes(changed)
        return result

    _library.impl(op, run, "CompositeExplicitAutograd")
    torch.library.register_fake(f"dsr_kernels::{op}", outputs)
    return run


def run_part(op: str, *args: Any) -> Any:
    """Run ``op`` as a part of another op: a forced backend that cannot run it is passed over.

    Meant for tensors that the other op has made; no version counter moves.
    """
    schema, device = schema_of(op), _device_of(args)
    name = forced_backend()
    if name is None or unavailable(schema, name, device):
        name = _first_available(schema, device)
    return launcher(schema, name)(*args)


def schema_of(op: str) -> OpSchema:
    return OPS.get(op) or GRADIENTS[op]


def launcher(schema: OpSchema, name: str) -> Callable[..., Any]:
    """The function that runs an op in a backend which is known to be available."""
    return _launchers.get((schema.name, name)) or _load(schema, name)


def _load(schema: OpSchema, name: str) -> Callable[..., Any]:
    """Import the launcher of one op in one backend on its first call."""
    if name in ("cpu", "cuda"):
        found = extension.launcher(schema.stem, name, _outputs[schema.name])
    else:
        module = importlib.import_module(f"dsr_kernels.{_FOLDERS[name]}.{schema.stem}")
        found = getattr(module, schema.name)
        if name == "triton":
            found = naming(schema.name, found)
    _launchers[schema.name, name] = found
    return found


def naming(op: str, run_kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A Triton launcher whose errors name the op, as those of the native modules do."""

    def run(*args: Any) -> Any:
        try:
            result = run_kernel(*args)
            if extension.waits_for_every_launch():
                extension.wait(_device_of(args))
        except (torch.OutOfMemoryError, NotImplementedError):
            raise  # callers tell these apart
        except RuntimeError as error:
            raise RuntimeError(f"{op}: {error}") from error
        return result

    return run


def _device_of(args: Sequence[Any]) -> torch.device:
    for arg in args:
        if isinstance(arg, Tensor):
            return arg.device
    raise TypeError("an op needs a tensor argument")


def _known(name: str, where: str) -> str:
    if name not in BACKENDS:
        raise ValueError(f"{where}: expected one of {', '.join(BACKENDS)}, got {name!r}")
    return name
