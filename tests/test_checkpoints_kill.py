"""SIGKILL at any instant leaves a verified checkpoint no older than the last save that returned."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("checkpoint_kills.py")


def run(mode, directory):
    """The script's result; it fails on the first kill that breaks the promise."""
    paths = os.pathsep.join(path or "." for path in sys.path)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), mode, str(directory)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_kills_at_random_instants(tmp_path):
    result = run("random", tmp_path)
    assert result["kills"] >= 200
    # Otherwise the kills did not fall where they could do harm.
    assert result["during_write"] >= 40
    assert result["with_progress"] >= 40


def test_a_kill_before_each_line_of_a_save(tmp_path):
    result = run("lines", tmp_path)
    assert result["kills"] >= 80
    assert result["old"] >= 20
    assert result["new"] >= 20
