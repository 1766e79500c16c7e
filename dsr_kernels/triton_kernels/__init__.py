"""The Triton kernels. Imported only when an op runs here, so that Triton stays optional."""

from __future__ import annotations

import importlib.util
import os

import torch


def unavailable(device: torch.device | None = None) -> str:
    """Why Triton cannot run (on ``device``, if given), or ''."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if interpreted():
        return ""
    if device is not None and device.type != "cuda":
        return f"it takes cuda tensors, got one on {device} (TRITON_INTERPRET=1 takes cpu tensors)"
    if not torch.cuda.is_available():
        return "torch sees no CUDA device (TRITON_INTERPRET=1 runs it on the CPU, slowly)"
    return ""


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter. Read once, when a kernel is first imported."""
    return os.environ.get("TRITON_INTERPRET") == "1"
