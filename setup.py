"""Builds the native modules: ``_cpu`` always, ``_cuda`` where nvcc is found. Needs no torch.

Environment variables:
    DSR_BUILD_CUDA: ``auto`` (default: build ``_cuda`` if there is an nvcc), ``0`` or ``1``.
    DSR_CUDA_ARCHS: compute capabilities, ``;`` between them, ``+PTX`` for one that later GPUs may
        compile from. Default ``80;90+PTX``.
    CUDA_HOME: the CUDA toolkit. Default: the nvcc on PATH, else ``/usr/local/cuda``.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
CPP_FLAGS = ["-std=c++17", "-O3", "-g0", "-ffp-contract=off", "-fvisibility=hidden"]
CPP_FLAGS += ["-Wall", "-Wextra"]
OPENMP_FLAGS = [] if sys.platform == "darwin" else ["-fopenmp"]
NVCC_FLAGS = ["-std=c++17", "-O3", "--fmad=false", "-Werror", "all-warnings"]
NVCC_FLAGS += ["-Xcompiler", "-fPIC,-fvisibility=hidden"]
CUDA_MODULE = "dsr_kernels._cuda"
DEFAULT_ARCHS = "80;90+PTX"


def find_nvcc() -> str | None:
    """The nvcc of CUDA_HOME if that is set, else the one on PATH or in /usr/local/cuda."""
    home = os.environ.get("CUDA_HOME")
    if home:
        return shutil.which("nvcc", path=str(Path(home) / "bin"))
    return shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")


def cuda_compiler() -> str | None:
    """The nvcc to build ``_cuda`` with, or None to leave it out."""
    wanted = os.environ.get("DSR_BUILD_CUDA", "auto")
    if wanted not in ("auto", "0", "1"):
        raise SystemExit(f"DSR_BUILD_CUDA: expected auto, 0 or 1, got {wanted!r}")
    nvcc = None if wanted == "0" else find_nvcc()
    if wanted == "1" and nvcc is None:
        raise SystemExit(
            "DSR_BUILD_CUDA=1: expected an nvcc in CUDA_HOME/bin, on PATH or in "
            "/usr/local/cuda/bin, found none; install the CUDA toolkit or set CUDA_HOME"
        )
    return nvcc


def arch_flags(archs: str) -> list[str]:
    """nvcc's -gencode flags for a list like ``80;90+PTX``."""
    flags = []
    for arch in archs.split(";"):
        match = re.fullmatch(r"(\d{2,3}[af]?)(\+PTX)?", arch.strip())
        if match is None:
            raise SystemExit(
                f"DSR_CUDA_ARCHS: expected capabilities like {DEFAULT_ARCHS!r}, got {archs!r}"
            )
        number, ptx = match.groups()
        flags += ["-gencode", f"arch=compute_{number},code=sm_{number}"]
        if ptx:
            flags += ["-gencode", f"arch=compute_{number},code=compute_{number}"]
    return flags


def pybind11_include() -> str:
    """pybind11's headers, or the copy inside torch where pybind11 is not installed."""
    try:
        import pybind11
    except ImportError:
        torch = importlib.util.find_spec("torch")
        if torch is None or torch.origin is None:
            raise SystemExit("the build needs pybind11: pip install pybind11") from None
        return str(Path(torch.origin).parent / "include")
    return pybind11.get_include()


class BuildNative(build_ext):
    """Compiles only the objects that are older than their source, a header or the flags."""

    def run(self) -> None:
        if not any(ext.name == CUDA_MODULE for ext in self.extensions):
            self.remove_old_cuda_module()
        super().run()

    def remove_old_cuda_module(self) -> None:
        """Keep a ``_cuda`` of an earlier build out of a build without it."""
        path = self.get_ext_filename(CUDA_MODULE)
        for root in (ROOT, Path(self.build_lib)):
            (root / path).unlink(missing_ok=True)

    def build_extension(self, ext: Extension) -> None:
        nvcc = NVCC if ext.name == CUDA_MODULE else None
        folder = Path(self.build_temp) / ext.name
        flags = f"{nvcc} {ARCHS} {sys.version} {os.environ.get('CFLAGS')}"
        current = self.flags_unchanged(folder, flags)
        shared = [Path(__file__), *ROOT.glob("csrc/**/*.h")]
        newest_shared = max(path.stat().st_mtime for path in shared)

        def compile_one(source: str) -> str:
            target = folder / Path(source).with_suffix(".o")
            newest = max(newest_shared, Path(source).stat().st_mtime)
            if not current or not target.exists() or target.stat().st_mtime < newest:
                target.parent.mkdir(parents=True, exist_ok=True)
                if source.endswith(".cu"):
                    self.spawn(
                        [str(nvcc), *NVCC_FLAGS, *CUDA_FLAGS, "-c", source, "-o", str(target)]
                    )
                else:
                    self.compile_cpp(ext, source, folder)
            return str(target)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compile_one, ext.sources))
        self.link(ext, objects, nvcc)
        (folder / "flags").write_text(flags)

    def flags_unchanged(self, folder: Path, flags: str) -> bool:
        """Whether the objects in ``folder`` were made with these flags, and may be kept."""
        stamp = folder / "flags"
        unchanged = not self.force and stamp.exists() and stamp.read_text() == flags
        stamp.unlink(missing_ok=True)
        return unchanged

    def compile_cpp(self, ext: Extension, source: str, folder: Path) -> None:
        flags = CPP_FLAGS + OPENMP_FLAGS
        self.compiler.compile([source], str(folder), None, ext.include_dirs, extra_postargs=flags)

    def link(self, ext: Extension, objects: list[str], nvcc: str | None) -> None:
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        if nvcc is not None:
            # nvcc knows where its toolkit keeps cudart_static.
            self.spawn([nvcc, "-shared", "-cudart", "static", *objects, "-o", str(target)])
        else:
            self.compiler.link_shared_object(
                objects, str(target), extra_postargs=OPENMP_FLAGS, target_lang="c++"
            )


class NativeDistribution(Distribution):
    """Leaves pyproject.toml alone where only the native modules are built.

    They need nothing from it, and setuptools before 77, common where torch is, cannot read it.
    """

    def parse_config_files(self, *args: Any, **kwargs: Any) -> None:
        if "build_ext" not in self.script_args:
            super().parse_config_files(*args, **kwargs)


def native_module(name: str) -> Extension:
    """``dsr_kernels._cpu`` or ``_cuda``: the bindings and every kernel in the backend's folder."""
    backend = name.removeprefix("dsr_kernels._")
    kernels = sorted(path.relative_to(ROOT) for path in ROOT.glob(f"csrc/{backend}/*.c*"))
    headers = sorted(path.relative_to(ROOT) for path in ROOT.glob("csrc/**/*.h"))
    return Extension(
        name,
        [f"csrc/bindings_{backend}.cpp", *map(str, kernels)],
        include_dirs=["csrc", pybind11_include()],
        depends=[str(path) for path in headers],
        language="c++",
    )


NVCC = cuda_compiler()
ARCHS = os.environ.get("DSR_CUDA_ARCHS") or DEFAULT_ARCHS
CUDA_FLAGS = [*arch_flags(ARCHS), f'-DDSR_CUDA_ARCHS="{ARCHS}"', "-Icsrc"]
NAMES = ["dsr_kernels._cpu"] + ([CUDA_MODULE] if NVCC else [])
setup(
    ext_modules=[native_module(name) for name in NAMES],
    cmdclass={"build_ext": BuildNative},
    distclass=NativeDistribution,
)
