"""setup.py builds, rebuilds only what changed, refuses bad settings; the wheel works elsewhere."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
TREE = ["dsr_kernels", "python", "csrc", "setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE"]
TREE += ["README.md"]
IGNORED = shutil.ignore_patterns("*.so", "__pycache__")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of what a build needs, so that the checkout stays as it is."""
    copy = tmp_path_factory.mktemp("tree")
    for name in TREE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=IGNORED)
        else:
            shutil.copy(ROOT / name, copy / name)
    return copy


def run(command, cwd, **env):
    full = {**os.environ, **env}
    return subprocess.run(command, cwd=cwd, env=full, capture_output=True, text=True, check=False)


def setup_py(tree, *arguments, **env):
    done = run([sys.executable, "setup.py", *arguments], tree, **env)
    return done.returncode, done.stdout + done.stderr


def test_rebuilds_what_changed_and_the_wheel_runs_from_elsewhere(tree, tmp_path):
    """One story, so that the sources are compiled twice only."""
    # Where pybind11 is not installed, torch's copy of it serves.
    (tmp_path / "pybind11.py").write_text("raise ImportError('not installed')\n")
    env = {"DSR_BUILD_CUDA": "0", "PYTHONPATH": str(tmp_path)}
    sources = {f"csrc/cpu/{path.name}" for path in (tree / "csrc/cpu").glob("*.cpp")}
    assert compiled_by_build(tree, env) == {"csrc/bindings_cpu.cpp", *sources}
    assert list((tree / "dsr_kernels").glob("_cpu.*"))
    assert compiled_by_build(tree, env) == set()
    touch(tree / "csrc/cpu/apply_mask.cpp")
    assert compiled_by_build(tree, env) == {"csrc/cpu/apply_mask.cpp"}
    touch(tree / "csrc/common/bits.h")
    assert "csrc/cpu/apply_mask.cpp" in compiled_by_build(tree, env)

    site = install_wheel(tree, tmp_path, env)
    # -S keeps an editable installation of this checkout out of the way.
    python = [sys.executable, "-S"]
    packages = os.pathsep.join([str(site), str(Path(torch.__file__).parent.parent)])
    elsewhere = {"cwd": tmp_path, "PYTHONPATH": packages}
    done = run([*python, "-m", "dsr_kernels"], **elsewhere)
    assert done.returncode == 0, done.stderr
    assert "dsr_kernels._cuda is not built" in done.stdout
    code = "import dsr, dsr_kernels._cpu; print(dsr.__file__, dsr_kernels._cpu.__file__)"
    done = run([*python, "-c", code], **elsewhere)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(site)) == 2


def compiled_by_build(tree, env):
    """The sources that an in-place build compiles."""
    code, output = setup_py(tree, "build_ext", "--inplace", **env)
    assert code == 0, output
    return set(re.findall(r" -c (csrc/\S+)", output))


def touch(path):
    later = time.time() + 1
    os.utime(path, (later, later))
    time.sleep(1)  # so that the objects of the next build are not older than this file


def install_wheel(tree, folder, env):
    pip = [sys.executable, "-m", "pip"]
    wheel = [*pip, "wheel", ".", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    done = run(wheel, tree, **env)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    site = folder / "site"
    install = [*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(built)]
    done = run(install, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return site


@pytest.mark.parametrize(
    ("env", "text"),
    [
        ({"DSR_BUILD_CUDA": "yes"}, "DSR_BUILD_CUDA: expected auto, 0 or 1, got 'yes'"),
        ({"DSR_BUILD_CUDA": "1", "CUDA_HOME": "/nowhere"}, "expected an nvcc in CUDA_HOME/bin"),
        ({"DSR_CUDA_ARCHS": "hopper"}, "DSR_CUDA_ARCHS: expected capabilities like '80;90+PTX'"),
    ],
)
def test_bad_settings_are_refused_by_name(tree, env, text):
    code, output = setup_py(tree, "build_ext", **env)
    assert code != 0
    assert text in output
    assert "Traceback" not in output
