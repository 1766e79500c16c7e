"""A command whose reader goes away, as ``head`` does, ends without a word."""

import os
import subprocess
import sys

import pytest

BROKEN_PIPE = 141


@pytest.mark.parametrize("command", ["dsr_kernels", "dsr methods", "dsr methods dsr", "dsr --help"])
def test_a_reader_that_goes_away(command):
    reader, writer = os.pipe()
    os.close(reader)
    python = [sys.executable, "-m", *command.split()]
    try:
        done = subprocess.run(python, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (BROKEN_PIPE, "")
