"""Tables of tensor pointers on the device, so that one launch serves any number of tensors.

A table holds nothing but numbers, and is kept and used again when the same tensors come back. It
is copied to the device on its first use: a CUDA graph must therefore be captured after a first
call with the tensors it will see.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

COLUMNS = 4  # pointer, elements, layer, first program
MAX_TABLES = 256

_Key = tuple[torch.device, int, tuple[tuple[int, int, int], ...]]
_tables: OrderedDict[_Key, tuple[Tensor, int]] = OrderedDict()
_captured: dict[_Key, Tensor] = {}  # a graph reads its tables at every replay: kept for good


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
    key = (device, block, rows)
    if key not in _tables:
        _tables[key] = _build(rows, block, device)
        if len(_tables) > MAX_TABLES:
            _tables.popitem(last=False)
    _tables.move_to_end(key)
    table, programs = _tables[key]
    if device.type == "cuda":
        _keep_while_used(key, table)
    return table, programs


def _build(
    rows: Sequence[tuple[int, int, int]], block: int, device: torch.device
) -> tuple[Tensor, int]:
    entries, programs = [], 0
    for pointer, elements, layer in rows:
        entries.append((pointer, elements, layer, programs))
        programs += -(-elements // block)
    return torch.tensor(entries, dtype=torch.int64).to(device), programs


def _keep_while_used(key: _Key, table: Tensor) -> None:
    if torch.cuda.is_current_stream_capturing():
        _captured[key] = table
    else:
        table.record_stream(torch.cuda.current_stream(table.device))
