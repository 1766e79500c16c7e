"""Our ops as providers: one for each kernel that runs on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

import dsr_kernels
from benchmarks.case import Provider


def backends(device: torch.device, ops: Sequence[str]) -> list[str]:
    """Backends that run all of ``ops`` on ``device``: kernels, or the definition if none does."""
    found = [name for name in dsr_kernels.schema.BACKENDS if _runs(name, device, ops)]
    return [name for name in found if name != "reference"] or found


def _runs(name: str, device: torch.device, ops: Sequence[str]) -> bool:
    schemas = [dsr_kernels.schema.OPS[op] for op in ops]
    return not any(dsr_kernels.dispatch.unavailable(schema, name, device) for schema in schemas)


def ours(
    device: torch.device,
    ops: Sequence[str],
    run: Callable[[], object],
    restore: Callable[[], None] | None = None,
    check: Callable[[object], None] | None = None,
) -> list[Provider]:
    """Providers that call ``run``, which uses ``ops``, with each backend forced."""
    return [
        Provider(f"dsr ({name})", "ours", _forced(name, run), restore, check)
        for name in backends(device, ops)
    ]


def _forced(name: str, run: Callable[[], object]) -> Callable[[], object]:
    def forced() -> object:
        with dsr_kernels.backend(name):
            return run()

    return forced
