"""A kernel that fails on the GPU: which exception says so, and whether it names the op."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ILLEGAL = "CUDA error: an illegal memory access was encountered"


def planted(backend, sync):
    """What the call that fails raised, a later op, and a wait: by name."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.planted_error", backend],
        env={**os.environ, "DSR_CUDA_SYNC": sync},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split(": ", 1) for line in done.stdout.splitlines())


def test_a_cuda_kernels_error_comes_with_a_later_op_and_names_the_one_before(device):
    raised = planted("cuda", sync="0")
    assert raised["planted"] == "nothing"
    assert raised["later"] == (
        f"RuntimeError: reset_state_: {ILLEGAL}; it may belong to an earlier kernel, the last of "
        "this package being apply_mask_'s (DSR_CUDA_SYNC=1 tells which)"
    )


def test_waiting_for_every_launch_names_the_op_that_failed(device):
    assert planted("cuda", sync="1")["planted"] == f"RuntimeError: apply_mask_: {ILLEGAL}"


def test_a_triton_kernels_error_comes_with_a_later_op_or_wait(device):
    raised = planted("triton", sync="0")
    assert raised["planted"] == "nothing"
    assert "an illegal memory access" in raised["later"]
    assert raised["later"].startswith("RuntimeError: reset_state_: ")
    assert "an illegal memory access" in raised["wait"]


def test_waiting_for_every_triton_launch_names_the_op_that_failed(device):
    raised = planted("triton", sync="1")["planted"]
    assert raised.startswith("RuntimeError: apply_mask_: ")
    assert "an illegal memory access" in raised
