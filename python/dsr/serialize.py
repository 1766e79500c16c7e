"""Nested state as strict JSON plus named tensors: what a checkpoint can hold, and nothing else.

In JSON a list, string, bool, int, finite float and None stand for themselves. Everything else is
an object with one key, its tag: ``{"dict": [[key, value], ...]}``, ``{"counter": [...]}``,
``{"tuple": [...]}``, ``{"float": "<16 hex digits of its bits>"}`` for NaN and infinities, and
``{"tensor": {"name": ...}}``, with ``shape`` and ``strides`` where the memory order is not the
default one.
"""

from __future__ import annotations

import json
import math
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

MAX_DEPTH = 100
MAX_INT_BITS = 4096

# What every supported version of safetensors reads and writes.
DTYPES = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
)


def encode(parts: dict[str, Any]) -> tuple[Any, dict[str, Tensor]]:
    """Split nested state into a JSON tree and the tensors it refers to.

    Args:
        parts: nested dict, OrderedDict, Counter, list, tuple, int, float, bool, str, None, numpy
            scalars and strided tensors of any device; dict keys are int or str.

    Returns:
        The tree, and contiguous CPU tensors by name: the path to each, such as
        ``model.conv1.weight``.

    Raises:
        TypeError: a value or key of another kind, naming its path.
        ValueError: more than 100 containers inside each other, or an int of over 4096 bits.
    """
    encoder = _Encoder()
    pairs = [[name, encoder.value(part, name, 1)] for name, part in parts.items()]
    return {"dict": pairs}, encoder.tensors


def decode(tree: Any, tensor: Callable[[str], Tensor]) -> Any:
    """Rebuild what :func:`encode` took apart.

    Args:
        tree: the parsed JSON.
        tensor: returns a tensor of its own memory for a name, or raises KeyError.

    Raises:
        ValueError: the tree is none that ``encode`` writes.
    """
    return _Decoder(tensor).value(tree, 0)


def dumps(tree: Any) -> bytes:
    """Strict JSON: no NaN or Infinity literals; floats in their shortest exact form."""
    return json.dumps(tree, allow_nan=False, separators=(",", ":")).encode("ascii")


def loads(data: bytes) -> Any:
    """Parse strict JSON: no NaN or Infinity, no float out of range, no repeated key.

    Raises:
        ValueError: anything else than that, or nested too deeply to parse.
    """
    try:
        return json.loads(
            data.decode("utf-8"),
            parse_constant=_no_constant,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _by_stride(tensor: Tensor) -> Tensor:
    """``tensor`` with its dimensions sorted by stride, longest first: a view.

    It is contiguous exactly when the tensor fills its stretch of memory without gaps or overlaps.
    """
    strides = tensor.stride()
    return tensor.permute(sorted(range(tensor.dim()), key=lambda dim: -strides[dim]))


class _Encoder:
    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[tuple[Any, ...], str] = {}
        self._storages: set[int] = set()

    def value(self, value: Any, path: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError(
                f"{path}: more than {MAX_DEPTH} containers inside each other; flatten the state"
            )
        if isinstance(value, np.generic) and value.dtype.kind in "biufU":
            value = value.item()
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if kind is int:
            return _checked_int(value, path)
        if kind is float:
            return value if math.isfinite(value) else {"float": struct.pack(">d", value).hex()}
        if kind is list:
            return self._items(value, path, depth)
        if kind in (tuple, torch.Size):
            return {"tuple": self._items(value, path, depth)}
        if kind in (dict, OrderedDict):
            return {"dict": self._pairs(value, path, depth)}
        if kind is Counter:
            return {"counter": self._pairs(value, path, depth)}
        if isinstance(value, Tensor):
            return {"tensor": self._tensor(value, path)}
        raise TypeError(
            f"{path}: expected a tensor, dict, list, tuple, int, float, bool, str or None, got "
            f"{kind.__module__}.{kind.__qualname__}; a checkpoint holds plain data only, convert "
            "it in state_dict()"
        )

    def _items(self, values: Any, path: str, depth: int) -> list[Any]:
        return [self.value(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(values)]

    def _pairs(self, values: dict[Any, Any], path: str, depth: int) -> list[Any]:
        pairs = []
        for key, value in values.items():
            if isinstance(key, np.integer) and key.dtype.kind in "iu":
                key = key.item()
            if type(key) is str:
                inner = f"{path}.{key}"
            elif type(key) is int:
                inner = f"{path}[{_checked_int(key, path)}]"
            else:
                raise TypeError(f"{path}: expected keys of type str or int, got {key!r}")
            pairs.append([key, self.value(value, inner, depth + 1)])
        return pairs

    def _tensor(self, tensor: Tensor, path: str) -> dict[str, Any]:
        _check_tensor(tensor, path)
        place = (tensor.device, tensor.data_ptr(), tensor.is_neg())
        memory = (*place, tensor.dtype, tensor.shape, tensor.stride())
        tensor = tensor.detach().resolve_neg()
        ordered = _by_stride(tensor)
        reference: dict[str, Any] = {}
        if not ordered.is_contiguous():
            ordered = tensor.contiguous()
        elif tensor.stride() != torch.empty(tensor.shape, device="meta").stride():
            reference = {"shape": list(tensor.shape), "strides": list(tensor.stride())}
        else:
            ordered = tensor
        shared = self._names.get(memory) if tensor.numel() else None
        if shared is not None:
            return {"name": shared, **reference}
        name = self._new_name(path)
        self._names[memory] = name
        self.tensors[name] = self._own(ordered.cpu())
        return {"name": name, **reference}

    def _new_name(self, path: str) -> str:
        name = unique = path.encode("utf-8", "backslashreplace").decode("utf-8")
        count = 1
        while unique in self.tensors:
            count += 1
            unique = f"{name}#{count}"
        return unique

    def _own(self, tensor: Tensor) -> Tensor:
        """safetensors refuses tensors that overlap in memory: copy all but the first."""
        storage = tensor.untyped_storage().data_ptr()
        if storage in self._storages:
            return tensor.clone()
        self._storages.add(storage)
        return tensor


class _Decoder:
    def __init__(self, tensor: Callable[[str], Tensor]) -> None:
        self._load = tensor
        self._tensors: dict[str, Tensor] = {}

    def value(self, tree: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} containers inside each other")
        if isinstance(tree, list):
            return [self.value(item, depth + 1) for item in tree]
        if not isinstance(tree, dict):
            return tree
        if len(tree) != 1:
            raise ValueError(f"expected an object with one tag, got keys {sorted(tree)[:5]}")
        ((tag, content),) = tree.items()
        if tag == "tuple" and isinstance(content, list):
            return tuple(self.value(item, depth + 1) for item in content)
        if tag in ("dict", "counter") and isinstance(content, list):
            pairs = self._pairs(content, depth)
            return pairs if tag == "dict" else Counter(pairs)
        if tag == "float" and isinstance(content, str) and len(content) == 16:
            return float(struct.unpack(">d", bytes.fromhex(content))[0])
        if tag == "tensor" and isinstance(content, dict):
            return self._tensor(content)
        raise ValueError(f"unknown content under the tag {tag[:50]!r}")

    def _pairs(self, content: list[Any], depth: int) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for pair in content:
            if not isinstance(pair, list) or len(pair) != 2 or type(pair[0]) not in (int, str):
                raise ValueError("expected pairs of an int or str key and a value")
            if pair[0] in result:
                raise ValueError(f"the key {pair[0]!r} comes twice")
            result[pair[0]] = self.value(pair[1], depth + 1)
        return result

    def _tensor(self, content: dict[str, Any]) -> Tensor:
        name = content.get("name")
        if not isinstance(name, str):
            raise ValueError("expected a tensor's name")
        if name not in self._tensors:
            try:
                self._tensors[name] = self._load(name)
            except KeyError:
                raise ValueError(f"no tensor is named {name!r}") from None
        tensor = self._tensors[name]
        if set(content) == {"name"}:
            return tensor
        if set(content) != {"name", "shape", "strides"}:
            raise ValueError(f"tensor {name!r}: expected name, shape and strides")
        return _restride(tensor, content["shape"], content["strides"], name)


def _restride(tensor: Tensor, shape: Any, strides: Any, name: str) -> Tensor:
    for numbers in (shape, strides):
        if not isinstance(numbers, list) or any(type(n) is not int or n < 0 for n in numbers):
            raise ValueError(f"tensor {name!r}: expected lists of sizes and strides")
    if len(shape) != len(strides) or math.prod(shape) != tensor.numel():
        raise ValueError(f"tensor {name!r}: its sizes and strides do not fit its elements")
    try:
        view = tensor.as_strided(shape, strides)
    except (RuntimeError, TypeError, OverflowError) as error:
        raise ValueError(f"tensor {name!r}: strides {strides} reach outside it") from error
    if not _by_stride(view).is_contiguous():
        raise ValueError(f"tensor {name!r}: strides {strides} overlap")
    return view


def _check_tensor(tensor: Tensor, path: str) -> None:
    kind = type(tensor)
    if kind not in (Tensor, torch.nn.Parameter, torch.nn.Buffer):
        raise TypeError(f"{path}: expected a plain tensor, got a {kind.__qualname__}")
    if tensor.layout != torch.strided:
        raise TypeError(f"{path}: expected a strided tensor, got layout {tensor.layout}")
    if tensor.dtype not in DTYPES:
        raise TypeError(f"{path}: cannot save dtype {tensor.dtype}; save a view in another dtype")
    if tensor.is_meta:
        raise TypeError(f"{path}: expected a tensor with data, got one on the meta device")


def _checked_int(value: int, path: str) -> int:
    if value.bit_length() > MAX_INT_BITS:
        raise ValueError(f"{path}: an int of more than {MAX_INT_BITS} bits; save it as a str")
    return value


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a float out of range")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key comes twice in one object")
    return result
