"""Builds csrc/cuda for the emulator and puts it in place of ``dsr_kernels._cuda``.

``tests/native/cuda_emulator`` runs the kernels on the CPU, thread by thread. The build is kept in
``build/`` under a hash of everything it is made from.
"""

import ctypes
import fcntl
import hashlib
import importlib.machinery
import importlib.util
import os
import re
import shutil
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).parent.parent
EMULATOR = ROOT / "tests/native/cuda_emulator"
RUNTIME = (EMULATOR / "emulator/block.cpp", EMULATOR / "emulator/waits.cpp")
BINDINGS = ROOT / "csrc/bindings_cuda.cpp"
CACHE = ROOT / "build/cuda_emulator"
ORDERS = ("forward", "reversed", "shuffled")
# Of a pass that prunes and one that counts. Small, so that small layers have several chunks; but
# one is more than a block reads at once.
CHUNK_UNITS = {"forward": (128, 256), "reversed": (256, 128), "shuffled": (384, 2048)}

FLAGS = ["-std=c++17", "-O1", "-g1", "-fPIC", "-ffp-contract=off", "-fno-strict-aliasing"]
FLAGS += ["-fno-gnu-unique", "-Wall", "-Wextra", "-Wno-unknown-pragmas"]
# What a GPU punishes too: vector loads from odd addresses, indices and shifts out of range.
CHECKS = "alignment,bounds,shift,signed-integer-overflow"
FLAGS += [f"-fsanitize={CHECKS}", f"-fno-sanitize-recover={CHECKS}"]
KERNEL_FLAGS = ["-D__CUDACC__", "-include", "cuda_runtime.h"]
# Reads and writes outside of every allocation; not stacks, which fibers exchange.
ADDRESS_FLAGS = ["-fsanitize=address", "--param=asan-stack=0", "--param=asan-globals=0"]
if os.environ.get("DSR_TEST_ADDRESSES") == "1":
    KERNEL_FLAGS += ADDRESS_FLAGS
INCLUDES = [f"-I{EMULATOR}", f"-I{ROOT / 'csrc'}"]


_installed = []  # the library that install() has loaded


def compiler():
    found = shutil.which("g++")
    assert found is not None, "expected g++ on PATH: the emulator is made with it"
    return found


def checking_addresses():
    """The environment of a process whose emulated kernels may only touch what is allocated."""
    # Without the second, which Python does not load first, an exception ends the process.
    libraries = [_library_of_compiler(name) for name in ("libasan.so", "libstdc++.so")]
    return {
        "DSR_TEST_ADDRESSES": "1",
        "LD_PRELOAD": ":".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",
    }


def _library_of_compiler(name):
    command = [compiler(), f"-print-file-name={name}"]
    library = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert Path(library).is_absolute(), f"expected g++ to have {name}"
    return str(Path(library).resolve())


def load_kernels(path):
    """The library with its C functions; ``set_order`` chooses the order of blocks and threads."""
    library = ctypes.CDLL(str(path))

    def set_order(order):
        assert library.cuda_emulator_set_order(order.encode()) == 1, order

    return library, set_order


def build_planted():
    """The library of small kernels with planted bugs, built where it is not there yet."""
    return _cached([EMULATOR / "planted_bugs.cu"], "libplanted.so") / "libplanted.so"


def build_module():
    """The folder with the emulated ``_cuda`` and its kernels, built where it is not there yet."""
    kernels = sorted(set(ROOT.glob("csrc/cuda/*.cu")) - {ROOT / "csrc/cuda/device.cu"})
    return _cached([*kernels, EMULATOR / "device.cpp"], "libkernels.so", "_cuda.so")


def _cached(sources, kernels, module=None):
    folder = CACHE / _hash([*sources, BINDINGS])
    folder.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / kernels).exists():
            _build([*sources, *RUNTIME], folder / kernels, INCLUDES, [])
        if module and not (folder / module).exists():
            _build_bindings(folder / module)
    return folder


def install():
    """Have every op's ``cuda`` backend run emulated, on CPU tensors, in this process.

    Returns a function that chooses the order of blocks and threads.
    """
    import torch

    from dsr_kernels import cuda_plan, extension

    folder = build_module()
    library, set_order = load_kernels(folder / "libkernels.so")
    library.cuda_emulator_launches.restype = ctypes.c_int64
    _installed.append(library)
    extension._modules["cuda"] = _import(folder / "_cuda.so")
    unavailable = extension.unavailable
    extension.unavailable = lambda name, device=None: (
        "" if name == "cuda" else unavailable(name, device)
    )
    torch.cuda.device = lambda device: nullcontext()
    torch.cuda.current_stream = lambda device=None: SimpleNamespace(cuda_stream=0)

    def set_order_and_chunks(order):
        set_order(order)
        cuda_plan.CHUNK_UNITS, cuda_plan.SEARCH_CHUNK_UNITS = CHUNK_UNITS[order]

    return set_order_and_chunks


def launches():
    """How many emulated kernels have been launched in this process."""
    return _installed[-1].cuda_emulator_launches()


def _build_bindings(target):
    """Apart from the kernels, whose thread-local variables are all taken for shared memory."""
    import pybind11

    python = sysconfig.get_paths()["include"]
    includes = [*INCLUDES, f"-I{pybind11.get_include()}", f"-I{python}"]
    link = [f"-L{target.parent}", "-lkernels", "-Wl,-rpath,$ORIGIN"]
    _build([BINDINGS], target, includes, link)


def _build(sources, target, includes, link):
    objects = CACHE / "objects"
    objects.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda source: _compile(source, objects, includes), sources))
    partial = target.with_suffix(".partial")
    _run([compiler(), *FLAGS, "-shared", *map(str, made), *link, "-o", str(partial)])
    partial.rename(target)


def _compile(source, objects, includes):
    flags = [*FLAGS, "-x", "c++"]
    flags += KERNEL_FLAGS if source.suffix == ".cu" else []
    target = objects / f"{source.stem}-{_hash([source])}.o"
    if not target.exists():
        partial = target.with_suffix(".partial")
        command = [compiler(), *includes, *flags, "-c", "-", "-o", str(partial)]
        _run(command, f'#line 1 "{source}"\n{_translated(source)}')
        partial.rename(target)
    return target


def _translated(source):
    """The source; kernel parameters that all threads share become references.

    A GPU keeps them once; a function on a CPU would copy kilobytes for every thread.
    """
    return re.sub(r"const __grid_constant__ (\w+) ", r"const \1& ", source.read_text())


def _run(command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"


def _hash(sources):
    """Of some sources, all headers they may include, and the flags."""
    headers = [*ROOT.glob("csrc/**/*.h"), *EMULATOR.rglob("*.h"), *EMULATOR.rglob("*.cpp")]
    digest = hashlib.sha256(repr((FLAGS, KERNEL_FLAGS)).encode())
    for path in (*sources, *sorted(headers)):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _import(path):
    loader = importlib.machinery.ExtensionFileLoader("dsr_kernels._cuda", str(path))
    spec = importlib.util.spec_from_file_location("dsr_kernels._cuda", path, loader=loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module
