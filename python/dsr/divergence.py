"""Finding a rank whose masks differ from the others', without making training wait for it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed

logger = logging.getLogger(__name__)

_GOLDEN, _MIX = 0x9E3779B97F4A7C15 - 2**64, 0xBF58476D1CE4E5B9 - 2**64  # odd, as int64


class RankDivergenceError(RuntimeError):
    """Ranks that should train the same network hold different masks."""


class _Pending(NamedTuple):
    work: Any  # torch.distributed.Work, which not every build of torch has
    hashes: Tensor
    number: Tensor


class DivergenceWatch:
    """Compares a hash of the masks over all ranks of a process group.

    The reduction of one int64 a rank starts behind a reallocation, but not within
    ``STEPS_BETWEEN`` steps of the last one, and is looked at before the next one starts: so no rank
    ever waits for another that is in the same step, nor a host for a device that is just behind,
    and a method that reallocates at each step does not reduce at each. It decides no mask.

    Args:
        group: the ranks; None: the default process group.
    """

    STEPS_BETWEEN = 16

    def __init__(self, group: distributed.ProcessGroup | None = None) -> None:
        self.group = group
        self._pending: _Pending | None = None
        self._step: int | None = None

    def due(self, step: int) -> bool:
        """Whether the masks that a reallocation leaves after ``step`` are to be compared.

        The same on every rank, whatever has arrived there: all of them must take part.
        """
        return self._step is None or not 0 <= step - self._step < self.STEPS_BETWEEN

    def submit(self, words: Tensor, number: Tensor, step: int) -> None:
        """Start comparing the masks that a reallocation left; nothing with a single rank.

        Args:
            words: int32 [words], the mask words.
            number: int64 [1], the number of the reallocation, on the same device.
            step: the optimizer step it followed.
        """
        size = world_size(self.group)
        if size == 1:
            return
        self._step = step
        # A sum over ranks, where only one term of each entry is not 0, runs on every backend.
        hashes = torch.zeros(size, dtype=torch.int64, device=words.device)
        hashes[distributed.get_rank(self.group)] = mask_hash(words)
        work = distributed.all_reduce(hashes, group=self.group, async_op=True)
        self._pending = _Pending(work, hashes, number.clone())

    def check(self) -> None:
        """Raise if the masks last submitted differ.

        All ranks see the same hashes, so each of them raises at its next call.

        Raises:
            RankDivergenceError: names the ranks that differ and the reallocation.
        """
        if self._pending is None:
            return
        pending, self._pending = self._pending, None
        try:
            with _aside(pending.hashes.device):
                pending.work.wait()
                hashes = pending.hashes.tolist()
        except RuntimeError as error:  # a rank is gone: no sign that the masks differ
            logger.warning("could not compare the masks of the ranks: %s", error)
            return
        raise_if_different(hashes, pending.number)

    def forget(self) -> None:
        """Drop a comparison whose masks were replaced meanwhile."""
        self._pending = None


def mask_hash(words: Tensor) -> Tensor:
    """A sum of the mask words, each times an odd number of its position, modulo 2^64.

    Differences within one word always change it: a nonzero difference below 2^32 times an odd
    number is not 0 modulo 2^64. Others go unseen with a chance of about 2^-63.

    Args:
        words: int32 [words].

    Returns:
        int64 scalar on the device of ``words``.
    """
    factors = torch.arange(1, len(words) + 1, device=words.device) * _GOLDEN
    factors = ((factors ^ (factors >> 32)) * _MIX) | 1
    return (words * factors).sum()


def raise_if_different(hashes: Sequence[int], number: Tensor) -> None:
    """Compare the hashes of all ranks, in order.

    Raises:
        RankDivergenceError: names the ranks that are not with the majority; where there is none,
            those that differ from rank 0.
    """
    common, votes = Counter(hashes).most_common(1)[0]
    if votes == len(hashes):
        return
    majority = 2 * votes > len(hashes)
    expected = common if majority else hashes[0]
    odd = [rank for rank, value in enumerate(hashes) if value != expected]
    names = ("rank " if len(odd) == 1 else "ranks ") + ", ".join(map(str, odd))
    others = "the majority" if majority else "rank 0"
    raise RankDivergenceError(
        f"after reallocation {int(number)} the masks of {names} (of {len(hashes)}) differ from "
        f"those of {others}: the weights, the optimizer or the arguments of dsr.sparsify differ "
        "there. Resume all ranks from the same checkpoint"
    )


def world_size(group: distributed.ProcessGroup | None = None) -> int:
    """Ranks of a process group, by default of the default one; 1 without any."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size(group)
    return 1


def check_group(group: Any) -> None:
    """Refuse what is no process group that this rank belongs to.

    Raises:
        TypeError, ValueError: starts with ``process_group``.
    """
    if group is None:
        return
    if not (distributed.is_available() and isinstance(group, distributed.ProcessGroup)):
        raise TypeError(
            f"process_group: expected a torch.distributed.ProcessGroup, got {group!r:.80}"
        )
    if distributed.get_rank(group) < 0:
        raise ValueError("process_group: expected one that this rank belongs to")


def _aside(device: torch.device) -> AbstractContextManager[Any]:
    """On a GPU a stream of its own: reading a result must not wait for the kernels queued since."""
    if device.type == "cuda":
        return torch.cuda.stream(torch.cuda.Stream(device))
    return nullcontext()
