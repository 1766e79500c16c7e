"""Starts checks on several ranks with torchrun, once for all tests that look at the result."""

import fcntl
import importlib
import inspect
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import torch
from modes import DEVICE

TESTS = Path(__file__).parent
SECONDS = 300  # far above what a launch takes: a hang fails instead of blocking
# Ranks of each launch, and the modules whose checks it makes.
if DEVICE == "cuda":
    LAUNCHES = {"single": 1, "pair": 2}
    SUITES = {"single": ("masks", "gradients"), "pair": ("masks", "gradients", "divergence")}
else:
    LAUNCHES = {"pair": 2, "many": 4}
    SUITES = {
        "pair": ("masks", "gradients", "refusals", "divergence", "train", "exit"),
        "many": ("masks", "divergence", "train", "exit"),
    }


def torchrun(processes, script, *arguments, restarts=0):
    """Run ``script`` (a path, or ``-m`` and a module as first argument) and return what came out.

    Raises:
        TimeoutExpired: the launcher and its workers were killed.
    """
    root = TESTS.parent
    path = os.pathsep.join(map(str, (root, root / "python", TESTS)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", f"--max-restarts={restarts}"]
    started = subprocess.Popen(
        [*command, str(script), *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = started.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        raise
    return subprocess.CompletedProcess(command, started.returncode, out, err)


def transport(ranks):
    """NCCL wants a GPU for each rank; gloo sends CUDA tensors of ranks that share one, too."""
    return "nccl" if DEVICE == "cuda" and ranks <= torch.cuda.device_count() else "gloo"


def checks(suite):
    """The functions of a suite that every rank calls, by name, in order."""
    return {
        name: function
        for module in SUITES[suite]
        for name, function in vars(importlib.import_module(f"ddp_{module}")).items()
        if name.startswith("check_") and inspect.isfunction(function)
    }


def launched_once(tmp_path_factory, processes, suite):
    """The reports of all ranks, for every worker of pytest-xdist from the same launch.

    Returns:
        The folder that the checks wrote to, and a dict a rank: what each check returned, or
        ``error``.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / f"ranks-{suite}-{processes}"
    with (base / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            folder.mkdir()
            result = torchrun(processes, TESTS / "ddp_worker.py", folder, suite)
            (folder / "launcher.txt").write_text(f"{result.returncode}\n{result.stderr}")
    reports = []
    for rank in range(processes):
        file = folder / f"rank{rank}.json"
        assert file.is_file(), (folder / "launcher.txt").read_text()
        reports.append(json.loads(file.read_text()))
    return folder, reports


def values(reports, check):
    """What a check returned on each rank; fails with the traceback where it raised."""
    errors = [f"rank {rank}: {report['error']}" for rank, report in enumerate(reports)]
    for rank, report in enumerate(reports):
        assert check in report["values"], f"{check} did not end on rank {rank}:\n{errors}"
    return [report["values"][check] for report in reports]
