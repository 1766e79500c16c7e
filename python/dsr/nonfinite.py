"""Finding NaN, Inf and a broken budget without making the host wait for the device."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor


class NonFiniteError(FloatingPointError):
    """Sparse weights or gradients hold NaN or Inf. Masks and budget are as they should be."""


class NonFiniteWatch:
    """Turns counts that kernels leave on the device into an error, as soon as they are known.

    On a CPU that is at once. On a GPU the counts are copied to pinned memory behind the kernels
    and an event says when they have arrived. Nothing waits for it but :meth:`check` with ``wait``,
    and :meth:`submit` for the oldest of more than ``AHEAD`` reallocations.
    """

    AHEAD = 16

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._coming: deque[tuple[Tensor, torch.cuda.Event]] = deque()

    def submit(self, counts: Tensor, missing: Tensor | None = None) -> None:
        """Take what a reallocation left to look at.

        Args:
            counts: NaN and Inf weights, int64 [layers].
            missing: units pruned but not grown, int64 [1]; None: that cannot be.
        """
        counts = counts if missing is None else torch.cat([counts, missing])
        if not counts.is_cuda:
            self._look(counts)
            return
        host = torch.empty(counts.shape, dtype=counts.dtype, pin_memory=True)
        host.copy_(counts, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        self._coming.append((host, arrived))
        self._wait_for_oldest()

    def check(self, wait: bool = False) -> None:
        """Raise if counts that have arrived are not all 0.

        Raises:
            NonFiniteError: names every layer with NaN or Inf weights, and how many.
            ValueError: a reallocation by rules of one's own has changed the budget.
        """
        while self._coming:
            counts, arrived = self._coming[0]
            if wait:
                arrived.synchronize()
            elif not arrived.query():
                return
            self._coming.popleft()
            self._look(counts)

    def _wait_for_oldest(self) -> None:
        if len(self._coming) > self.AHEAD:
            self._coming[0][1].synchronize()
            self.check()

    def _look(self, counts: Tensor) -> None:
        values = counts.tolist()
        raise_nonfinite(self._names, values[: len(self._names)], "weights")
        raise_if_missing(sum(values[len(self._names) :]))


def raise_if_nonfinite(names: Sequence[str], tensors: Sequence[Tensor | None], what: str) -> None:
    """Look at the tensors themselves. Waits for the device; cheap where all is well.

    Raises:
        NonFiniteError: names every layer with NaN or Inf entries, and how many.
    """
    present = [(name, t) for name, t in zip(names, tensors, strict=True) if t is not None]
    present = [(name, t.detach()) for name, t in present if t.numel()]
    if not present:
        return
    # A sum carries every NaN and Inf; one that overflows by itself is counted below and is fine.
    sums = torch.stack([t.sum(dtype=torch.float32) for _, t in present])
    if not torch.isfinite(sums).all():
        counts = [int((~torch.isfinite(t)).sum()) for _, t in present]
        raise_nonfinite([name for name, _ in present], counts, what)


def raise_if_missing(missing: int) -> None:
    """Refuse rules that do not grow as many units as were pruned.

    Raises:
        ValueError: says how many are missing, or too many.
    """
    if missing:
        amount = f"{missing} fewer" if missing > 0 else f"{-missing} more"
        raise ValueError(
            f"rules: expected to grow as many units as were pruned, got {amount}; what "
            "Redistribute.split returns must sum to the units pruned, no layer above "
            "reallocation.free"
        )


def raise_nonfinite(names: Sequence[str], counts: Sequence[int], what: str) -> None:
    found = [f"{name}: {count}" for name, count in zip(names, counts, strict=True) if count]
    if found:
        raise NonFiniteError(
            f"NaN or Inf in sparse {what} ({', '.join(found)}); masks and budget are intact. "
            "Lower the learning rate, clip gradients, or resume from a checkpoint"
        )
