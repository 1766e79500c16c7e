"""Runs in worker processes, side by side."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

from dsr.experiments.config import RunConfig
from dsr.experiments.folder import Row, RunFolder
from dsr.experiments.train import run

logger = logging.getLogger(__name__)

MAX_CUDA_JOBS = 4

_stop: Event | None = None  # in a worker: whether its parent was interrupted


def run_all(
    runs: Mapping[Path, RunConfig],
    jobs: int | None,
    checkpoint_every: int | None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, str]:
    """Start or continue each run in its folder.

    Args:
        runs: settings by folder.
        jobs: processes; 1 works in this one; None: one a core, at most 4 on a GPU.
        checkpoint_every: epochs between checkpoints; None: as :func:`dsr.experiments.run` has it.
        progress: called with the folder's name as each run ends.

    Returns:
        What went wrong, by the folder's name.
    """
    jobs = min(jobs or _default_jobs(runs), len(runs))
    errors: dict[str, str] = {}

    def ended(path: Path, error: str | None) -> None:
        if error is not None:
            errors[path.name] = error
        if progress is not None:
            progress(path.name)

    if jobs <= 1:
        for path, config in runs.items():
            ended(path, _run_one(path, config, checkpoint_every))
        return errors
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_start_worker, initargs=(stop,)
    ) as pool:
        try:
            with _interrupts_ignored():  # workers inherit it: they are told to stop, not killed
                futures = {
                    pool.submit(_run_one, path, config, checkpoint_every): path
                    for path, config in runs.items()
                }
            for future in as_completed(futures):
                try:
                    ended(futures[future], future.result())
                except BrokenProcessPool:
                    ended(futures[future], "its process was killed; run the same command again")
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)  # workers end with their epoch
            raise
    return errors


def _run_one(path: Path, config: RunConfig, checkpoint_every: int | None) -> str | None:
    """Run, and give back the error as text: not every exception survives a pickle."""
    try:
        run(
            config,
            path,
            resume=RunFolder(path).exists,
            checkpoint_every=checkpoint_every,
            progress=_raise_if_stopped,
        )
    except Exception as error:
        logger.debug("%s failed", path, exc_info=True)
        return f"{type(error).__name__}: {error}"
    return None


def _raise_if_stopped(row: Row) -> None:
    if _stop is not None and _stop.is_set():
        raise InterruptedError("stopped with the process that started it")


def _start_worker(stop: Event) -> None:
    global _stop
    _stop = stop
    threading.Thread(target=_exit_with_parent, daemon=True).start()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _exit_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _default_jobs(runs: Mapping[Path, RunConfig]) -> int:
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    on_cuda = any(config.device.startswith("cuda") for config in runs.values())
    return min(cores, MAX_CUDA_JOBS) if on_cuda else cores
