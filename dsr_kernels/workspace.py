"""Device memory that GPU kernels keep between calls: counters that are 0 whenever no kernel runs.

A kernel counts the blocks that have finished, so that the last one can add up what all of them
found. That block also sets its counter back to 0, which spares every call a launch that clears it.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_counters: MutableMapping[Tensor, dict[tuple[str, int], Tensor]] = WeakTensorKeyDictionary()
_changed_by_graphs: MutableMapping[Tensor, bool] = WeakTensorKeyDictionary()


def counters(owner: Tensor, name: str, size: int) -> Tensor:
    """Zeroed counters: int32 [``size``] on the device of ``owner``, kept while it lives.

    Args:
        owner: a tensor that the op changes in place, the mask's words. Two kernels that used the
            same counters at the same time would also change that tensor at the same time.
        name: tells apart the counters of several kernels.
        size: how many.
    """
    kept = _counters.get(owner)
    if kept is None:
        kept = _counters[owner] = {}
    # By size too: what a CUDA graph has captured must never be given up for something larger.
    if (name, size) not in kept:
        refuse_capture(owner.device)
        kept[name, size] = torch.zeros(size, dtype=torch.int32, device=owner.device)
    return kept[name, size]


def is_capturing(device: torch.device) -> bool:
    """Whether a CUDA graph is being captured on the current stream."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def note_changes(tensors: Sequence[Tensor]) -> None:
    """Remember what a graph that is being captured will change unseen, each time it is replayed."""
    if tensors and is_capturing(tensors[0].device):
        for tensor in tensors:
            _changed_by_graphs[_owner(tensor)] = True


def is_changed_by_a_graph(tensor: Tensor) -> bool:
    """Whether an op of this package that changes the tensor was ever captured."""
    return _owner(tensor) in _changed_by_graphs


def _owner(tensor: Tensor) -> Tensor:
    """The tensor whose memory, and version counter, a view shares."""
    return tensor if tensor._base is None else tensor._base


def refuse_capture(device: torch.device) -> None:
    """Raise while a CUDA graph is captured: what is made on a first call has to be there by then.

    Raises:
        RuntimeError: the current stream of ``device`` is being captured.
    """
    if is_capturing(device):
        raise RuntimeError(
            "this op allocates tables on its first call with a mask: call it once before "
            "capturing a CUDA graph"
        )
