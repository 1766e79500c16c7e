"""The Triton kernels give the reference's bits in the interpreter, whatever the program order.

TRITON_INTERPRET is read when a kernel is decorated, so a process of its own runs the tests of
every op that has a Triton kernel.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dsr_kernels.schema import OPS

TESTS = Path(__file__).parent
TRITON_OPS = [schema for schema in OPS.values() if "triton" in schema.backends]


@pytest.mark.parametrize(
    "path", [f"test_{schema.stem}.py" for schema in TRITON_OPS] + ["interpreter"]
)
def test_interpreted(path):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS / path)],
        env={**os.environ, "DSR_TEST_INTERPRET": "1"},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " skipped" not in done.stdout
