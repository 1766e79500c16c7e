"""Metrics for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dsr.experiments.folder import Row


@contextmanager
def scalars(folder: Path | None, steps_done: int) -> Iterator[Callable[[Row], None]]:
    """A function that writes a row of metrics to ``folder``; to nowhere where it is None.

    What an earlier, killed run wrote there after step ``steps_done`` is hidden by TensorBoard.
    """
    if folder is None:
        yield lambda row: None
        return
    from torch.utils.tensorboard import SummaryWriter

    purge = steps_done + 1 if steps_done else None
    with SummaryWriter(str(folder), purge_step=purge) as writer:

        def write(row: Row) -> None:
            for name, value in row.items():
                if name not in ("epoch", "step") and value is not None:
                    writer.add_scalar(name, value, row["step"])

        yield write
