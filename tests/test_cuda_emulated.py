"""The CUDA kernels give the reference's bits in the emulator, whatever the order of threads.

The emulated module takes the place of ``dsr_kernels._cuda``, so a process of its own runs the
tests of every op that has a CUDA kernel.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_emulation import checking_addresses

from dsr_kernels.schema import OPS

TESTS = Path(__file__).parent
CUDA_OPS = [schema for schema in OPS.values() if "cuda" in schema.backends]


def run(path, **env):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS / path)],
        env={**os.environ, "DSR_TEST_EMULATE": "1", **env},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert " skipped" not in done.stdout


@pytest.mark.parametrize("stem", [schema.stem for schema in CUDA_OPS])
def test_emulated(stem):
    run(f"test_{stem}.py")


def test_generated_cases_and_every_address():
    run("emulator", **checking_addresses())
