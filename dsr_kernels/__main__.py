"""``python -m dsr_kernels``: what is built, what runs here, and why not."""

import os
import sys

from dsr_kernels.diagnostics import report

BROKEN_PIPE = 141  # what a shell shows for a program that SIGPIPE ended

if __name__ == "__main__":
    try:
        print(report(), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end
        sys.exit(BROKEN_PIPE)
