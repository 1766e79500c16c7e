"""What is built, what runs and why not: the page that ``python -m dsr_kernels`` prints."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Sequence
from importlib import metadata

import torch

from dsr_kernels import dispatch, extension
from dsr_kernels._version import __version__
from dsr_kernels.schema import BACKENDS, OPS


def report() -> str:
    """The whole page: versions, devices, backends, and a table of op by backend.

    Example:
        >>> print(report())
    """
    return "\n\n".join([_versions(), _devices(), _backends(), _ops()])


def _versions() -> str:
    native = extension.module("cuda")
    built = {} if isinstance(native, str) else native.versions()
    triton = importlib.util.find_spec("triton") is not None
    rows = [
        ("dsr_kernels", __version__),
        ("Python", platform.python_version()),
        ("torch", torch.__version__),
        ("torch's CUDA", torch.version.cuda or "none"),
        ("Triton", metadata.version("triton") if triton else "not installed"),
        ("CUDA of the build", built.get("build") or "none"),
        ("GPU code for", built.get("architectures") or "none"),
        ("CUDA of the driver", built.get("driver") or "no driver found"),
    ]
    return "Versions\n" + _table(rows)


def _devices() -> str:
    rows = [("cpu", f"{platform.machine()}, {torch.get_num_threads()} threads")]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            major, minor = torch.cuda.get_device_capability(index)
            rows.append((f"cuda:{index}", f"{torch.cuda.get_device_name(index)}, {major}.{minor}"))
    return "Devices\n" + _table(rows)


def _backends() -> str:
    """Each backend, judged by the first op that has it."""
    rows = []
    for name in BACKENDS:
        schema = next(schema for schema in OPS.values() if name in schema.backends)
        rows.append((name, dispatch.unavailable(schema, name) or "available"))
    return "Backends\n" + _table(rows)


def _ops() -> str:
    notes: dict[str, int] = {}
    rows: list[Sequence[str]] = [("", *BACKENDS)]
    for schema in OPS.values():
        row = [schema.name]
        for name in BACKENDS:
            reason = schema.missing.get(name)
            if reason is None:
                row.append("no" if dispatch.unavailable(schema, name) else "yes")
            else:
                row.append(f"- [{notes.setdefault(reason, len(notes) + 1)}]")
        rows.append(row)
    lines = ["Ops: yes = runs here, no = see Backends, - = not in this version", _table(rows)]
    lines += [f"  [{number}] {reason}" for reason, number in notes.items()]
    return "\n".join(lines)


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(f"  {line}".rstrip() for line in lines)
