"""Makes a CUDA kernel write past the end of a tensor, for compute-sanitizer to catch."""

import os
from contextlib import suppress

import torch

from dsr_kernels import BitMask, SparseLayout, extension

ELEMENTS = 1 << 20


def main() -> None:
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
    os._exit(0)


if __name__ == "__main__":
    main()
