"""Which committed results are older than the last change of what they measured."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cases.dsr_step import OPS as STEP_OPS
from benchmarks.registry import PRODUCTS
from dsr_kernels.schema import OPS

ROOT = Path(__file__).parent.parent
PRODUCT_SOURCES = [
    "benchmarks/masked_products",
    "dsr_kernels/library/masking.py",
    "dsr_kernels/route_table.py",
    "dsr_kernels/triton_kernels/conv_kernels.py",
    "dsr_kernels/triton_kernels/product_tuning.py",
    "dsr_kernels/triton_kernels/tile_lists.py",
    "dsr_kernels/triton_kernels/weight_tiles.py",
]


def stale(folder: Path, names: Sequence[str], machine: str = "machine.json") -> list[str]:
    """Those of ``names`` whose sources have changed since the commit that ``folder`` measured.

    Args:
        folder: under ``benchmarks/results``; "cpu" holds CPU results, any other those of a GPU.
        names: ops, or other entries of the registry.
        machine: the file that says at which commit.

    Returns:
        The stale ones, in the same order; none where git or the commit is not at hand.
    """
    path = folder / machine
    if not path.exists():
        return []
    commit = (json.loads(path.read_text())["commit"] or "").removesuffix("-dirty")
    if not commit or _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}") is None:
        return []
    native = "cpu" if folder.name == "cpu" else "cuda"
    return [name for name in names if _git("log", "-1", "--format=%h", f"{commit}..HEAD", "--",
                                           *sources(name, native))]  # fmt: skip


def sources(name: str, native: str) -> list[str]:
    """The files of an op, or of all ops of a sequence, as far as one device runs them."""
    if name == "table3":
        return ["python/dsr/reallocate.py", "python/dsr/sparsifier.py", "benchmarks/table3"]
    if name == "masked_products":
        own = [file for op in PRODUCTS for file in sources(op, native)]
        return [*own, *PRODUCT_SOURCES]
    ops = STEP_OPS if name == "dsr_step" else (name,)
    files = [f"benchmarks/cases/{name.rstrip('_')}.py"]
    for op in ops:
        if op not in OPS:
            continue
        stem = OPS[op].stem
        files.append(f"dsr_kernels/ops/{stem}.py")
        if native == "cpu":
            files.append(f"csrc/cpu/{stem}.cpp")
        else:
            files += [f"csrc/cuda/{stem}.cu", f"dsr_kernels/triton_kernels/{stem}.py"]
        if "library" in OPS[op].backends:
            files.append(f"dsr_kernels/library/{stem}.py")
    return files


def _git(*arguments: str) -> str | None:
    """What git prints, or None if it fails or is not there."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
