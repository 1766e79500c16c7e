"""Makes kernels touch what is not theirs.

python -m benchmarks.planted_error           writes past the end of a tensor: for compute-sanitizer
python -m benchmarks.planted_error BACKEND   reads where no memory is: prints who reports it
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import torch

import dsr_kernels
from dsr_kernels import BitMask, SparseLayout, extension

ELEMENTS = 1 << 20
FAR_WORDS = 1 << 40  # beyond whatever a GPU has mapped
SECONDS = 2.0  # in which a kernel has failed


def write_past_the_end() -> None:
    mask = BitMask.zeros(SparseLayout.of_elements([ELEMENTS]), "cuda")
    short = torch.ones(ELEMENTS // 2, device="cuda")
    pointer, _, dtype = extension._buffer(short)
    words, table = extension._buffers([mask.words, mask.table])
    stream = torch.cuda.current_stream().cuda_stream
    native = extension.module("cuda")
    native.apply_mask([(pointer, ELEMENTS, dtype)], [0], words, table, stream)
    # The sanitizer's exit code counts only where the program itself has ended well.
    with suppress(RuntimeError):
        torch.cuda.synchronize()


def read_far_away(backend: str) -> None:
    """Print a line for the call that goes wrong, one for a later op, one for waiting."""
    mask = BitMask.zeros(SparseLayout.of_elements([ELEMENTS]), "cuda")
    weight, state = (torch.ones(ELEMENTS, device="cuda") for _ in range(2))
    far = mask.table.clone()
    far[0, 3] += FAR_WORDS

    def planted() -> None:
        torch.ops.dsr_kernels.apply_mask_([weight], [0], mask.words, far)

    def later() -> None:
        dsr_kernels.reset_state_([state], mask, mask)

    with dsr_kernels.backend(backend):
        dsr_kernels.apply_mask_([weight], mask)  # loads the kernels and makes their tables
        later()
        torch.cuda.synchronize()
        report("planted", planted)
        time.sleep(SECONDS)
        report("later", later)
        report("wait", torch.cuda.synchronize)


def report(name: str, call: Callable[[], object]) -> None:
    text = "nothing"
    try:
        call()
    except Exception as error:
        text = f"{type(error).__name__}: {error}".splitlines()[0]
    print(f"{name}: {text}", flush=True)


def main(argv: list[str]) -> None:
    if argv:
        read_far_away(argv[0])
    else:
        write_past_the_end()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
