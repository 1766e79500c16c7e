"""Every CUDA C++ kernel compiles for sm_80 and sm_90 without warnings or spills. Needs no GPU."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dsr_kernels.schema import OPS

ROOT = Path(__file__).parent.parent
NVCC = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
FLAGS = ["-std=c++17", "-O3", "--fmad=false", "-Werror", "all-warnings", "-Xptxas", "-v"]
FLAGS += ["-gencode", "arch=compute_80,code=sm_80", "-gencode", "arch=compute_90,code=sm_90"]


@pytest.mark.skipif(NVCC is None, reason="no nvcc: the CUDA kernels were not compiled")
@pytest.mark.parametrize("stem", [op.stem for op in OPS.values() if "cuda" in op.backends])
def test_compiles_without_warnings_or_spills(stem, tmp_path):
    source = ROOT / "csrc/cuda" / f"{stem}.cu"
    done = subprocess.run(
        [NVCC, *FLAGS, f"-I{ROOT / 'csrc'}", "-c", str(source), "-o", str(tmp_path / "kernel.o")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    spills = re.findall(r"(\d+) bytes spill (?:stores|loads)", done.stdout + done.stderr)
    frames = re.findall(r"(\d+) bytes stack frame", done.stdout + done.stderr)
    assert len(frames) >= 2, "expected a report for each architecture"
    assert {*spills, *frames} == {"0"}, done.stderr
