"""The tests of ``make test-gpu``: in several processes at once, then under compute-sanitizer."""

from __future__ import annotations

import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from benchmarks.gpu_log import ROOT, TIMED_OUT, Log, Step, ending

PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
PARTS = 6  # processes that share the tests
# The first takes most of a GPU's memory; the second starts ranks, once for all of its tests.
ALONE = {"large": "tests/gpu/test_large_layers.py", "ddp": "tests/test_ddp.py"}
SANITIZED = ["tests/gpu/test_kernels_agree.py", "tests/gpu/test_products_agree.py"]
SANITIZED += ["-k", "every_kernel or several_streams"]
FOUND_ERRORS = 9  # the exit code asked of compute-sanitizer


def test(log: Log) -> list[Step]:
    """Every test that takes a device, and memcheck and racecheck over every op."""
    others = ["tests", *(f"--ignore={path}" for path in ALONE.values())]
    parts = {f"pytest-{i + 1}": others for i in range(PARTS)}
    parts |= {name: [path] for name, path in ALONE.items()}
    with ThreadPoolExecutor(len(parts)) as pool:
        steps = list(
            pool.map(lambda name: _tests(log, name, parts[name], list(parts).index(name)), parts)
        )
    tools = (memcheck, racecheck)
    with ThreadPoolExecutor(len(tools)) as pool:
        return steps + list(pool.map(lambda tool: tool(log), tools))


def _tests(log: Log, name: str, chosen: list[str], part: int) -> Step:
    env = {"DSR_TEST_DEVICE": "cuda"}
    if name not in ALONE:
        env["DSR_TEST_PART"] = f"{part}/{PARTS}"
    code, output = log.run(name, [*PYTEST, *chosen], quiet=True, **env)
    if code == TIMED_OUT:
        return (name, ending(code))
    closing = output.strip().splitlines()[-1].strip("= ") if output.strip() else "no output"
    return (name, closing if code == 0 else f"FAILED: {closing}")


def memcheck(log: Log) -> Step:
    """No kernel of any op touches what is not its own; trusted once a planted store was caught."""
    planted = [sys.executable, "-m", "benchmarks.planted_error"]
    return _sanitize(log, "memcheck", planted, r"Invalid __global__ write")


def racecheck(log: Log) -> Step:
    """No kernel of any op races in shared memory; trusted once a planted race was caught."""
    program = log.folder / "planted_race"
    major, minor = torch.cuda.get_device_capability()
    source = str(ROOT / "benchmarks/planted_race.cu")
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    command = [nvcc, f"-arch=sm_{major}{minor}", "-cudart", "static", source, "-o", str(program)]
    code, _ = log.run("racecheck-build", command, quiet=True)
    if code != 0:
        return ("racecheck", ending(code))
    result = _sanitize(log, "racecheck", [str(program)], r"[Hh]azard")
    program.unlink()
    return result


def _sanitize(log: Log, name: str, planted: list[str], sign: str) -> Step:
    found = shutil.which("compute-sanitizer")
    in_toolkit = Path("/usr/local/cuda/bin/compute-sanitizer")
    if found is None and not in_toolkit.exists():
        return (name, "not run: no compute-sanitizer on PATH")
    tool = [found or str(in_toolkit), "--tool", name, "--error-exitcode", str(FOUND_ERRORS)]
    # With torch's caching allocator a stray store lands in memory that is allocated all the same.
    env = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1", "DSR_TEST_DEVICE": "cuda", "DSR_TEST_FEW": "1"}
    code, output = log.run(f"{name}-planted", [*tool, *planted], quiet=True, **env)
    if code == TIMED_OUT:
        return (name, ending(code))
    if code != FOUND_ERRORS or not re.search(sign, output):
        return (name, "not run: the tool did not catch a planted error here")
    code, _ = log.run(name, [*tool, *PYTEST, *SANITIZED], quiet=True, **env)
    return (name, ending(code, "clean; it caught a planted error"))
