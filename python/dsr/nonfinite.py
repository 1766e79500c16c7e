"""Finding NaN and Inf in sparse weights without making the host wait for the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class NonFiniteError(FloatingPointError):
    """Sparse weights or gradients hold NaN or Inf. Masks and budget are as they should be."""


class NonFiniteWatch:
    """Turns counts that kernels leave on the device into an error, as soon as they are known.

    On a CPU that is at once. On a GPU the counts are copied to pinned memory behind the kernels
    and an event says when they have arrived; nothing waits for it but :meth:`check` with ``wait``.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._counts: Tensor | None = None
        self._arrived: torch.cuda.Event | None = None

    def submit(self, counts: Tensor) -> None:
        """Take the NaN and Inf counts of a reallocation: int64 [layers]."""
        if counts.is_cuda:
            self._counts = torch.empty(counts.shape, dtype=counts.dtype, pin_memory=True)
            self._counts.copy_(counts, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()
        else:
            self._counts, self._arrived = counts, None
            self.check()

    def check(self, wait: bool = False) -> None:
        """Raise if counts that have arrived are not all 0.

        Raises:
            NonFiniteError: names every layer with NaN or Inf weights, and how many.
        """
        if self._counts is None:
            return
        if self._arrived is not None:
            if not wait and not self._arrived.query():
                return
            self._arrived.synchronize()
        counts, self._counts, self._arrived = self._counts, None, None
        raise_nonfinite(self._names, counts.tolist(), "weights")


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


def raise_nonfinite(names: Sequence[str], counts: Sequence[int], what: str) -> None:
    found = [f"{name}: {count}" for name, count in zip(names, counts, strict=True) if count]
    if found:
        raise NonFiniteError(
            f"NaN or Inf in sparse {what} ({', '.join(found)}); masks and budget are intact. "
            "Lower the learning rate, clip gradients, or resume from a checkpoint"
        )
