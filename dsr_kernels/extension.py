"""Loads the native modules and hands them pointers, sizes and the current stream.

``_cpu`` and ``_cuda`` know no torch. Every tensor argument travels as ``(pointer, elements, dtype
code)``; outputs are allocated here and passed behind the arguments.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from dsr_kernels import cuda_plan

# csrc/common/buffer.h: enum class DType.
DTYPE_CODES = {
    torch.float32: 0,
    torch.bfloat16: 1,
    torch.float16: 2,
    torch.float64: 3,
    torch.int32: 4,
    torch.int64: 5,
}

_modules: dict[str, ModuleType | str] = {}


def module(name: str) -> ModuleType | str:
    """The native module ``_cpu`` or ``_cuda``, or why it cannot be loaded."""
    if name not in _modules:
        try:
            _modules[name] = importlib.import_module(f"dsr_kernels._{name}")
        except ImportError as error:
            _modules[name] = f"dsr_kernels._{name} is not built ({error})"
    return _modules[name]


def unavailable(name: str, device: torch.device | None = None) -> str:
    """Why the native backend ``name`` cannot run (on ``device``, if given), or ''."""
    native = module(name)
    if isinstance(native, str):
        return native
    if device is not None and device.type != name:
        return f"it takes {name} tensors, got one on {device}"
    return _cuda_unavailable(device) if name == "cuda" else ""


@cache
def _cuda_unavailable(device: torch.device | None) -> str:
    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    index = None if device is None else device.index
    native: Any = module("cuda")
    return str(native.unavailable(torch.cuda.current_device() if index is None else index))


@cache
def waits_for_every_launch() -> bool:
    """Whether errors are to come with the op they belong to: ``DSR_CUDA_SYNC=1``."""
    return os.environ.get("DSR_CUDA_SYNC") == "1"


def wait(device: torch.device) -> None:
    """Wait for what the current stream of a GPU was given, unless it is being captured."""
    if device.type == "cuda" and not torch.cuda.is_current_stream_capturing():
        torch.cuda.current_stream(device).synchronize()


def launcher(stem: str, name: str, outputs: Callable[..., Any]) -> Callable[..., Any]:
    """A function that takes an op's torch arguments and runs its native launcher."""
    function = _native_function(stem, name)

    def on_cpu(*args: Any) -> Any:
        results = outputs(*args)
        function(*_buffers(args), *_buffers(_as_tuple(results)), torch.get_num_threads())
        return results

    def on_cuda(*args: Any) -> Any:
        device = next(arg.device for arg in args if isinstance(arg, Tensor))
        with torch.cuda.device(device):
            results = outputs(*args)
            extra = cuda_plan.extra_arguments(stem, args)
            stream = torch.cuda.current_stream().cuda_stream
            function(*_buffers(args), *_buffers(_as_tuple(results)), *_buffers(extra), stream)
        return results

    return on_cpu if name == "cpu" else on_cuda


def masked_copy(source: Tensor, words: Tensor, units: Sequence[int], target: Tensor) -> Tensor:
    """A dense tensor of one layer on the CPU, +0.0 where inactive, in one pass. Returns ``target``.

    Args:
        source: its elements as they lie in memory; of a dtype in ``DTYPE_CODES``.
        words, units: the layer's mask.
        target: of the same strides, or ``source`` itself.
    """
    function, threads = _native_function("masked_copy", "cpu"), torch.get_num_threads()
    function(_buffer(source), _buffer(words), units, _buffer(target), threads)
    return target


def _native_function(stem: str, name: str) -> Callable[..., Any]:
    """A function of the native module ``_cpu`` or ``_cuda``.

    Raises:
        RuntimeError: the module, or the function in it, is not there.
    """
    native = module(name)
    if isinstance(native, str):
        raise RuntimeError(f"{stem}: {native}")
    function: Callable[..., Any] | None = getattr(native, stem, None)
    if function is None:
        raise RuntimeError(
            f"{stem}: dsr_kernels._{name} was built from older sources; build it again "
            "(make build, or pip install .)"
        )
    return function


def _as_tuple(results: Any) -> Sequence[Any]:
    if results is None:
        return ()
    return (results,) if isinstance(results, Tensor) else results


def _buffers(args: Sequence[Any]) -> list[Any]:
    return [_buffer(arg) for arg in args]


def _buffer(arg: Any) -> Any:
    if isinstance(arg, Tensor):
        return (arg.data_ptr(), arg.numel(), DTYPE_CODES[arg.dtype])
    if isinstance(arg, (list, tuple)) and arg and isinstance(arg[0], Tensor):
        return [_buffer(tensor) for tensor in arg]
    return arg
