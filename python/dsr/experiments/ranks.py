"""One run on several processes that torchrun started: each trains on its share of every batch."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from dsr.divergence import world_size
from dsr.experiments.config import usable_device

POLL_SECONDS = 0.02


def launched_size() -> int:
    """How many processes torchrun started in all; 1 without torchrun."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def join(device: str) -> None:
    """Make a process group with the other processes of torchrun; does nothing without others.

    Args:
        device: of the run's settings; gloo connects the ranks on a CPU, NCCL on GPUs.

    Raises:
        ValueError: starts with ``device``; this process has no GPU of its own.
        RuntimeError: the other processes cannot be reached.
    """
    if launched_size() == 1:
        return
    own = local_device(device)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    backend = "nccl" if own.type == "cuda" else "gloo"
    number, size = int(os.environ["RANK"]), launched_size()
    store = _unused_store(number, size)
    distributed.init_process_group(backend, store=store, rank=number, world_size=size)


def restarted() -> bool:
    """Whether torchrun started these processes again after one failed; call it once joined.

    Each machine counts its own restarts, so that of any rank is one of all.
    """
    count = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    return bool(summed(torch.tensor(count, device=_device())))


@contextmanager
def leaving() -> Iterator[None]:
    """Close what :func:`join` opened when the body ends; all ranks wait for each other there.

    After an error they do not: others may be gone. NCCL would wait for them even while closing, so
    it is left to the end of the process.
    """
    failed = True
    try:
        yield
        if _is_joined():
            distributed.barrier()
        failed = False
    finally:
        if _is_joined() and not (failed and distributed.get_backend() == "nccl"):
            distributed.destroy_process_group()


def rank() -> int:
    """The number of this process in the default process group; 0 without one."""
    return distributed.get_rank() if world_size() > 1 else 0


def local_device(name: str) -> torch.device:
    """The device of this process: of several GPUs, the one with the rank's number on its machine.

    Raises:
        ValueError: starts with ``device``; this machine has no such device.
    """
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', rank())}"
    return usable_device(name)


def share(batch: Tensor) -> Tensor:
    """This rank's rows of a batch.

    All ranks get the same number, in the order of the ranks, so that the mean of their gradients is
    that of the batch. What does not divide, less than a row a rank at its end, is left out.
    """
    rows = len(batch) // world_size()
    return batch[rank() * rows : (rank() + 1) * rows]


def parallel(model: nn.Module, images: Tensor) -> nn.Module:
    """The model so wrapped that gradients are averaged over the ranks; itself with one rank.

    DDP arranges its buckets anew after its first backward, and in which order the gradients of
    three ranks are added up depends on them. So a first backward runs here and is thrown away:
    otherwise a run and its resume, which has a first backward of its own, would differ in bits.

    Args:
        model: on its device, ready to train.
        images: a batch that it takes; its running statistics do not see it.
    """
    if world_size() == 1:
        return model
    devices = [images.device.index] if images.is_cuda else None
    network = DistributedDataParallel(model, device_ids=devices, gradient_as_bucket_view=True)
    network.eval()
    network(images).sum().backward()
    for parameter in model.parameters():
        parameter.grad = None
    return network


def summed(value: Tensor) -> Tensor:
    """The sum over the ranks, the same bits on each of them; changes ``value``."""
    if world_size() > 1:
        distributed.all_reduce(value)
    return value


def from_first(value: float) -> float:
    """The number that rank 0 has."""
    if world_size() == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=_device())
    distributed.broadcast(shared, 0)
    return float(shared)


def check_same(name: str, value: int) -> None:
    """Wait for all ranks, and refuse to go on where they found different states of a run.

    Raises:
        ValueError: starts with ``name``.
    """
    values = torch.zeros(world_size(), dtype=torch.int64, device=_device())
    values[rank()] = value
    found = summed(values).tolist()
    if len(set(found)) > 1:
        raise ValueError(
            f"{name}: expected all ranks to find the same in out, got {found} from ranks 0 to "
            f"{len(found) - 1}; it must be a folder that all of them share"
        )


def _unused_store(number: int, size: int) -> distributed.Store:
    """A part of torchrun's store that these processes have for themselves.

    A restart finds the store as it was, with addresses of processes that are gone, and nothing that
    all ranks know tells it from the first start. So rank 0 makes up a name, and gives it to whoever
    asks with a word of its own that nobody used before.

    Raises:
        RuntimeError: not all ranks asked in time.
    """
    store, *_ = next(distributed.rendezvous("env://"))
    if number > 0:
        word = uuid.uuid4().hex
        store.set(f"dsr/ask/{number}", word)
        name = store.get(f"dsr/answer/{word}").decode()
        store.set(f"{name}/{number}", "joined")
        return distributed.PrefixStore(name, store)
    name = f"dsr/{uuid.uuid4().hex}"
    missing, deadline = set(range(1, size)), time.monotonic() + store.timeout.total_seconds()
    while missing:
        if time.monotonic() > deadline:
            raise RuntimeError(f"ranks {sorted(missing)} did not join in {store.timeout}")
        for other in missing:
            if store.check([f"dsr/ask/{other}"]):  # perhaps the word of one that is gone
                store.set(f"dsr/answer/{store.get(f'dsr/ask/{other}').decode()}", name)
        missing = {other for other in missing if not store.check([f"{name}/{other}"])}
        time.sleep(POLL_SECONDS)
    return distributed.PrefixStore(name, store)


def _is_joined() -> bool:
    return launched_size() > 1 and world_size() > 1


def _device() -> torch.device:
    """Where numbers for the other ranks have to lie."""
    on_gpu = world_size() > 1 and distributed.get_backend() == "nccl"
    return torch.device("cuda" if on_gpu else "cpu")
