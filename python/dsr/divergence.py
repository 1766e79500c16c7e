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
    """Compares a hash of the masks over all ranks of the default process group.

    The reduction of one int64 a rank starts behind each reallocation and is looked at before the
    next one, so no rank ever waits for another that is in the same step. It decides no mask.
    """

    def __init__(self) -> None:
        self._pending: _Pending | None = None

    def submit(self, words: Tensor, number: Tensor) -> None:
        """Start comparing the masks that a reallocation left; nothing with a single rank.

        Args:
            words: int32 [words], the mask words.
            number: int64 [1], the number of the reallocation, on the same device.
        """
        if world_size() == 1:
            return
        # A sum over ranks, where only one term of each entry is not 0, runs on every backend.
        hashes = torch.zeros(world_size(), dtype=torch.int64, device=words.device)
        hashes[distributed.get_rank()] = mask_hash(words)
        work = distributed.all_reduce(hashes, async_op=True)
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


def world_size() -> int:
    """Ranks of the default process group; 1 without one."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def _aside(device: torch.device) -> AbstractContextManager[Any]:
    """On a GPU a stream of its own: reading a result must not wait for the kernels queued since."""
    if device.type == "cuda":
        return torch.cuda.stream(torch.cuda.Stream(device))
    return nullcontext()
