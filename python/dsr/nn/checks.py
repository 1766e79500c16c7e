"""Argument contracts of the masked modules, looked at when one is made."""

from __future__ import annotations

from typing import Any

from torch import nn

STRUCTURES = ("unstructured", "tiles", "channels")  # as dsr_kernels.masked_linear takes


def check_hints(weight_is_masked: Any, structure: Any) -> None:
    if not isinstance(weight_is_masked, bool):
        raise TypeError(f"weight_is_masked: expected a bool, got {type(weight_is_masked).__name__}")
    if structure not in STRUCTURES:
        raise ValueError(f"structure: expected one of {', '.join(STRUCTURES)}, got {structure!r}")


def check_geometry(kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> None:
    """What ``masked_conv2d`` would refuse in every call."""
    _check_pair(kernel_size, "kernel_size", 1)
    _check_pair(stride, "stride", 1)
    _check_pair(dilation, "dilation", 1)
    if not isinstance(padding, str):
        _check_pair(padding, "padding", 0)
    elif padding not in ("same", "valid"):
        raise ValueError(f"padding: expected an int, a pair, 'same' or 'valid', got {padding!r}")
    elif padding == "same" and stride not in (1, (1, 1), [1, 1]):
        raise ValueError(f"padding: 'same' expected stride 1, got stride {stride}")


def refuse_computed(module: nn.Module) -> None:
    """Refuse a module whose weight or bias is computed from other parameters."""
    for name in ("weight", "bias"):
        if name not in module._parameters:
            raise ValueError(
                f"module: expected its {name} to be a parameter, got one that is computed, as "
                "weight_norm, spectral_norm and parametrizations do; remove those first"
            )


def _check_pair(value: Any, name: str, least: int) -> None:
    """An int, or two of them, each at least ``least``."""
    values = (value, value) if isinstance(value, int) else value
    if not isinstance(values, (tuple, list)):
        raise TypeError(f"{name}: expected an int or a pair, got {value!r:.40}")
    if any(not isinstance(v, int) or isinstance(v, bool) for v in values):
        raise TypeError(f"{name}: expected ints, got {value!r:.40}")
    if len(values) != 2 or min(values) < least:
        raise ValueError(f"{name}: expected an int or a pair of at least {least}, got {value!r}")
