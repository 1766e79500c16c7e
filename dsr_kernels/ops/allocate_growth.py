"""allocate_growth: adapt the threshold, then split what was pruned over the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dsr_kernels.dispatch import register

INT64_MAX = 2**63 - 1


def allocate_growth(
    pruned: Tensor,
    shares: Tensor,
    capacity: Tensor,
    *,
    threshold: Tensor | None = None,
    lower: int = 0,
    upper: int = INT64_MAX,
) -> Tensor:
    """Decide how many units each layer grows: as many in all as were pruned.

    The total K is split in proportion to ``shares``, rounded by largest remainder, the lower
    layer first. No layer gets more than its ``capacity``; what does not fit goes round again over
    the layers that still have room, in proportion to that room if their shares are all 0. Only
    when every layer is full do the places just pruned take the rest, by the same rule.

    Args:
        pruned: int64 [layers], units pruned in this reallocation.
        shares: int64 [layers], integers up to 3e9: the survivors of each layer for DSR, or
            ``layer_mean`` of the momentum. Negative counts as 0, here and in the other two.
        capacity: int64 [layers], units that were inactive before this reallocation.
        threshold: float32 [1], changed in place: halved when K > ``upper``, doubled when
            K < ``lower``, then kept within [2^-126, 2^126]. None: nothing to adapt.
        lower, upper: the bounds on K, as ``fractions.tolerance_bounds`` gives them.

    Returns:
        int64 [layers]: units to grow in each layer. Its sum is the sum of ``pruned``, or 3e9 where
        that is more: no layout has so many units, and no count is read back to refuse it.

    Raises:
        TypeError, ValueError: an argument is not as described; nothing was changed.

    Source:
        Mostafa and Wang, "Parameter efficient training of deep convolutional neural networks by
        dynamic sparse reparameterization" (ICML 2019), Algorithm 1.

    Example:
        >>> counts = [torch.tensor(values) for values in ([5, 0], [30, 10], [3, 90])]
        >>> allocate_growth(*counts)
        tensor([3, 2])
    """
    if not isinstance(pruned, Tensor) or pruned.dim() != 1:
        raise TypeError(f"pruned: expected an int64 tensor of shape [layers], got {pruned!r}")
    _check_vector(pruned, len(pruned), torch.int64, pruned.device, "pruned")
    _check_vector(shares, len(pruned), torch.int64, pruned.device, "shares")
    _check_vector(capacity, len(pruned), torch.int64, pruned.device, "capacity")
    if threshold is not None:
        _check_vector(threshold, 1, torch.float32, pruned.device, "threshold")
    _check_bound(lower, "lower")
    _check_bound(upper, "upper")
    with torch.no_grad():
        if threshold is None:
            threshold = torch.empty(0, dtype=torch.float32, device=pruned.device)
        return torch.ops.dsr_kernels.allocate_growth(
            threshold, pruned, shares, capacity, lower, upper
        )


def _check_vector(
    vector: Any, size: int, dtype: torch.dtype, device: torch.device, name: str
) -> None:
    if not isinstance(vector, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(vector).__name__}")
    if vector.dtype != dtype:
        raise TypeError(f"{name}: expected dtype {dtype}, got {vector.dtype}")
    if vector.shape != (size,) or not vector.is_contiguous():
        raise ValueError(
            f"{name}: expected a contiguous tensor of shape [{size}], got shape "
            f"{list(vector.shape)}"
        )
    if vector.device != device:
        raise ValueError(f"{name}: expected device {device} as pruned, got {vector.device}")


def _check_bound(bound: Any, name: str) -> None:
    if not isinstance(bound, int) or isinstance(bound, bool):
        raise TypeError(f"{name}: expected an int, got {type(bound).__name__}")
    if not 0 <= bound <= INT64_MAX:
        raise ValueError(f"{name}: expected a count in [0, 2^63), got {bound}")


def _outputs(
    threshold: Tensor, pruned: Tensor, shares: Tensor, capacity: Tensor, lower: int, upper: int
) -> Tensor:
    return torch.empty_like(pruned)


def _mutates(
    threshold: Tensor, pruned: Tensor, shares: Tensor, capacity: Tensor, lower: int, upper: int
) -> Sequence[Tensor]:
    return [threshold] if threshold.numel() else []


register("allocate_growth", outputs=_outputs, mutates=_mutates)
