"""Tables of tensor pointers on the device, so that one launch serves any number of tensors.

A table holds nothing but numbers, and is kept and used again when the same tensors come back. It
is copied to the device on its first use: a CUDA graph must therefore be captured after a first
call with the tensors it will see.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

from dsr_kernels.extension import DTYPE_CODES
from dsr_kernels.layout import SparseLayout
from dsr_kernels.workspace import refuse_capture

COLUMNS = 4  # of pointer_table: pointer, elements, layer, first program
LAYER_COLUMNS = 3  # of layer_table: pointer, dtype code, bits of float32(1 / unit_size)
MIXED_CODE = 3  # in place of a dtype code: the tensors are of several dtypes
MAX_TABLES = 256

_Kind = TypeVar("_Kind", bound=Hashable)
_Key = tuple[torch.device, int, tuple[tuple[int, int, int], ...]]
_tables: OrderedDict[_Key, tuple[Tensor, int]] = OrderedDict()
_captured: dict[_Key, Tensor] = {}  # a graph reads its tables at every replay: kept for good


def group_tensors(
    tensors: Sequence[Tensor], layers: Sequence[int], kind: Callable[[Tensor], _Kind]
) -> dict[_Kind, list[tuple[Tensor, int]]]:
    """Pairs of a tensor that is not empty and its layer, by what a kernel is compiled for."""
    groups: dict[_Kind, list[tuple[Tensor, int]]] = {}
    for tensor, layer in zip(tensors, layers, strict=True):
        if tensor.numel() > 0:
            groups.setdefault(kind(tensor), []).append((tensor, layer))
    return groups


def pointer_table(tensors: Sequence[tuple[Tensor, int]], block: int) -> tuple[Tensor, int]:
    """One row a tensor, and how many programs of ``block`` elements the tensors need in all.

    Args:
        tensors: pairs of a tensor and its layer number, on one device.
        block: elements a program handles.

    Returns:
        int64 [tensors, COLUMNS] on the tensors' device, and the number of programs.
    """
    device = tensors[0][0].device
    rows = tuple((tensor.data_ptr(), tensor.numel(), layer) for tensor, layer in tensors)
    return _table((device, block, rows), lambda: _build(rows, block, device))


def layer_table(tensors: Sequence[Tensor], table: Tensor) -> Tensor:
    """One row a layer for kernels that read keys.

    Args:
        tensors: one tensor a layer, float32, bfloat16 or float16.
        table: the layout's table.

    Returns:
        int64 [layers, LAYER_COLUMNS] on the table's device.
    """
    shapes = SparseLayout.from_table(table).layers
    rows = tuple(
        (tensor.data_ptr(), DTYPE_CODES[tensor.dtype], _reciprocal_bits(shape.unit_size))
        for tensor, shape in zip(tensors, shapes, strict=True)
    )
    return _table((table.device, 0, rows), lambda: (_on_device(rows, table.device), 0))[0]


def has_groups(table: Tensor) -> bool:
    """Whether a unit of some layer is more than one element."""
    return any(shape.unit_size > 1 for shape in SparseLayout.from_table(table).layers)


def dtype_code(tensors: Sequence[Tensor]) -> int:
    """The code of the dtype that all tensors have, or MIXED_CODE."""
    codes = {DTYPE_CODES[tensor.dtype] for tensor in tensors}
    return codes.pop() if len(codes) == 1 else MIXED_CODE


@cache
def _reciprocal_bits(unit_size: int) -> int:
    """The bits of 1 / unit_size as float32."""
    (bits,) = struct.unpack("<i", struct.pack("<f", 1.0 / unit_size))
    return int(bits)


def _table(key: _Key, make: Callable[[], tuple[Tensor, int]]) -> tuple[Tensor, int]:
    if key not in _tables:
        refuse_capture(key[0])
        _tables[key] = make()
        if len(_tables) > MAX_TABLES:
            _tables.popitem(last=False)
    _tables.move_to_end(key)
    table, programs = _tables[key]
    if table.is_cuda:
        _keep_while_used(key, table)
    return table, programs


def _build(
    rows: Sequence[tuple[int, int, int]], block: int, device: torch.device
) -> tuple[Tensor, int]:
    entries, programs = [], 0
    for pointer, elements, layer in rows:
        entries.append((pointer, elements, layer, programs))
        programs += -(-elements // block)
    return _on_device(entries, device), programs


def _on_device(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """int64 rows on the device, copied behind what it is doing: the host does not wait."""
    table = torch.tensor(rows, dtype=torch.int64)
    return table.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else table


def _keep_while_used(key: _Key, table: Tensor) -> None:
    if torch.cuda.is_current_stream_capturing():
        _captured[key] = table
    else:
        table.record_stream(torch.cuda.current_stream(table.device))
