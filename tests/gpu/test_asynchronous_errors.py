"""A kernel that fails on the GPU: which exception says so, and whether it names the op."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("sync", ["0", "1"])
def test_a_triton_kernels_error_surfaces(sync, device):
    """As torch's or Triton's exception, which names no op."""
    raised = planted("triton", sync)
    assert "an illegal memory access" in raised["later"]
    assert "an illegal memory access" in raised["wait"]
