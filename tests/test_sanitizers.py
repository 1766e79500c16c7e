"""The C++ kernels and headers under AddressSanitizer and UndefinedBehaviorSanitizer."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLAGS = ["-std=c++17", "-O1", "-g", "-fopenmp", "-Wall", "-Wextra", "-Werror"]
FLAGS += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{ROOT / 'csrc'}"]


@pytest.mark.parametrize("stem", sorted(path.stem for path in ROOT.glob("tests/native/*.cpp")))
def test_kernel_is_clean(stem, tmp_path):
    compiler = shutil.which("g++") or shutil.which("c++")
    assert compiler is not None, "expected a C++ compiler on PATH: the build needs one too"
    program = tmp_path / stem
    sources = [str(ROOT / f"tests/native/{stem}.cpp"), str(ROOT / f"csrc/cpu/{stem}.cpp")]
    command = [compiler, *FLAGS, *sources, "-o", str(program)]
    subprocess.run(command, check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
