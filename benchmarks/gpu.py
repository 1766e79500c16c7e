"""``make test-gpu`` and ``make bench-gpu``: build in place, run on the GPU, end in a short table.

Needs a python3 with torch and pytest, an nvcc, and no network. The full output goes to one archive
under ``$OUT`` if that is set, else to files under ``benchmarks/results/<gpu>/``.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

if importlib.util.find_spec("torch") is None:
    sys.exit(f"expected a python3 with torch, got {sys.executable}; PYTHON=... names another")

import torch

from benchmarks import gpu_tests
from benchmarks.gpu_log import ROOT, Log, Step, ending

LIMITS_S = {"test": 520.0, "bench": 560.0}  # what has not ended by then is cut off, and kept


def main(argv: list[str]) -> int:
    modes: dict[str, Callable[[Log], list[Step]]] = {"test": gpu_tests.test, "bench": bench}
    if len(argv) != 1 or argv[0] not in modes:
        print(f"usage: python -m benchmarks.gpu {{{','.join(modes)}}}", file=sys.stderr)
        return 2
    if not torch.cuda.is_available():
        print(f"make {argv[0]}-gpu needs a CUDA device; torch sees none", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = Log(folder, LIMITS_S[argv[0]])
        steps = [build(log)]
        if steps[0][1] == "ok":
            steps += modes[argv[0]](log)
        if argv[0] == "bench":
            print(f"\n{asked(folder)}")
        place = keep(folder, argv[0])
    print(f"\n{torch.cuda.get_device_name()}: {place}")
    for step, result in steps:
        print(f"  {step:<12}{result}")
    return int(any(result.startswith("FAILED") for _, result in steps))


def build(log: Log) -> Step:
    code, _ = log.run("build", [sys.executable, "setup.py", "build_ext", "--inplace"])
    if code != 0:
        return ("build", ending(code))
    log.run("environment", [sys.executable, "-m", "dsr_kernels"])
    return ("build", "ok")


# The ops of a reallocation first: a step that is cut off has timed what comes first.
FEW = "dsr_step,prune_threshold_,kth_magnitude,grow_random_"
REST = (
    "prune_smallest_,apply_mask_,allocate_growth,reset_state_,grow_largest_,layer_mean,"
    "prune_sign_flips_,add_noise_,pack,unpack"
)
BY_SIZE = "prune_threshold_,dsr_step,grow_random_,kth_magnitude"  # of which one has a target there
SECONDS = ["--seconds", "0.05"]
MORE = ["run", "--append", *SECONDS, "--ops"]
TABLE3 = ["table3", "--append", "--nets", "resnet50", "--implementations"]
OURS = ["ours", "--seconds", "18", "--steps", "4"]
AUTHORS = ["authors", "--seconds", "8", "--steps", "2"]
AUTHORS += ["--methods", "dsr,sparse-momentum,rigl,set,deepr"]
# What is asked for most first. Each step may take so many seconds, and keeps its rows if it is cut
# off: together, with a build, they end within the limit. A reallocation as the authors write it
# takes 0.3 s on WRN-28-2 and up to 18 s on ResNet-50, a step of ResNet-50 about a quarter of one.
BENCHES: dict[str, tuple[float, list[str]]] = {
    "ops": (115, ["run", *SECONDS, "--ops", f"{FEW},{REST}", "--nets", "resnet50,wrn-28-2"]),
    "table3": (90, ["table3", "--nets", "wrn-28-2", "--seconds", "8"]),
    "resnet50": (100, [*TABLE3, *OURS]),
    "authors": (45, [*TABLE3, *AUTHORS]),
    "profile": (18, ["profile"]),
    "training_step": (24, ["training_step", "--seconds", "6"]),
    "sizes": (30, [*MORE, BY_SIZE, "--nets", "1e8,1e6,1e7,1e5,1e9"]),
    "sparsity": (18, [*MORE, FEW, "--nets", "resnet50", "--sparsity", ".5,.8,.95,.99"]),
    "bfloat16": (9, [*MORE, FEW, "--nets", "resnet50", "--dtype", "bfloat16"]),
    "shapes": (12, [*MORE, FEW, "--nets", "wrn-16-8,lenet-300-100,transformer-1b"]),
    "products": (21, ["masked_products", "--minutes", "0.3", "--seconds", "0.02"]),
    "routes": (20, ["routes", "--minutes", "0.2"]),
}
CURVES_S = 8.0
BUILD_S = 50.0  # what a build takes, about: a limit of its own would leave nothing to measure


def bench(log: Log) -> list[Step]:
    """Every step in order, each within its seconds; then the pictures."""
    steps = []
    for name, (cap_s, (module, *arguments)) in BENCHES.items():
        command = [sys.executable, "-m", f"benchmarks.{module}", "--device", "cuda"]
        code, _ = log.run(name, [*command, *arguments, "--out", str(log.folder)], cap_s=cap_s)
        steps.append((name, ending(code)))
    curves = [sys.executable, "-m", "benchmarks.curves", str(log.folder)]
    code, _ = log.run("curves", curves, cap_s=CURVES_S)
    return [*steps, ("curves", ending(code))]


def asked(folder: Path) -> str:
    """What is asked of a GPU, and what was reached; also left in the folder."""
    from benchmarks.tables import gpu_targets  # imports the package, which is built by now

    text = gpu_targets(folder)
    (folder / "targets.md").write_text(f"{text}\n")
    return text


def keep(folder: Path, mode: str) -> Path:
    """Move what was written to where it is kept, and say where that is."""
    out = os.environ.get("OUT")
    if out:
        archive = Path(out) / f"{mode}-gpu.tar.gz"
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive, "w:gz") as file:
            file.add(folder, arcname=f"{mode}-gpu")
        return archive
    gpu = re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower()).strip("-")
    place = ROOT / "benchmarks" / "results" / gpu
    shutil.copytree(folder, place, dirs_exist_ok=True)
    return place


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
