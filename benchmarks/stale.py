"""Which committed results are older than the last change of what they measured."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cases.dsr_step import OPS as STEP_OPS
from benchmarks.markdown import read_machine
from benchmarks.registry import PRODUCTS
from benchmarks.sources import of_op, of_training

ROOT = Path(__file__).parent.parent
PRODUCT_SOURCES = [
    "benchmarks/masked_products",
    "csrc/cpu/apply_mask.cpp",
    "dsr_kernels/dispatch.py",
    "dsr_kernels/extension.py",
    "dsr_kernels/library/masking.py",
    "dsr_kernels/product_checks.py",
    "dsr_kernels/products.py",
    "dsr_kernels/route_table.py",
    "dsr_kernels/routes.py",
    "dsr_kernels/triton_kernels/conv_kernels.py",
    "dsr_kernels/triton_kernels/masked_copy.py",
    "dsr_kernels/triton_kernels/product_tuning.py",
    "dsr_kernels/triton_kernels/tile_lists.py",
    "dsr_kernels/triton_kernels/weight_tiles.py",
]
# They tell of results and measure nothing.
EXCEPT = (":(exclude)benchmarks/*/text.py", ":(exclude)benchmarks/*/picture.py")


def stale(folder: Path, names: Sequence[str], machine: str = "machine.json") -> list[str]:
    """Those of ``names`` whose sources have changed since the commit that ``folder`` measured.

    All of them if git does not know the commit: nothing shows that they have not changed.

    Args:
        folder: under ``benchmarks/results``; "cpu" holds CPU results, any other those of a GPU.
        names: ops, or other entries of the registry.
        machine: the file that says at which commit.

    Returns:
        The stale ones, in the same order; none outside a git checkout.
    """
    path = folder / machine
    if not path.exists():
        return []
    commit = (read_machine(path, ["commit"])["commit"] or "").removesuffix("-dirty")
    if _git("rev-parse", "HEAD") is None:
        return []
    if not commit or _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}") is None:
        return list(names)
    native = "cpu" if folder.name == "cpu" else "cuda"
    return [name for name in names if _git("log", "-1", "--format=%h", f"{commit}..HEAD", "--",
                                           *sources(name, native), *EXCEPT)]  # fmt: skip


def sources(name: str, native: str) -> list[str]:
    """The files of an op, or of all that a sequence of ops runs, as far as one device runs them."""
    if name == "table3":
        return sorted({"benchmarks/table3"} | of_training(native))
    if name == "training_step":
        own = {"benchmarks/training_step.py", "python/dsr/nn", *PRODUCT_SOURCES}
        own |= {f"benchmarks/table3/{file}.py" for file in ("methods", "paired", "training")}
        own |= of_op("masked_conv2d", native) | of_op("masked_linear", native)
        return sorted(own | of_training(native))
    if name == "profile":
        return sorted({"benchmarks/profile.py", *sources("dsr_step", native)} | of_training(native))
    if name == "masked_products":
        own = [file for op in PRODUCTS for file in sources(op, native)]
        return [*own, *PRODUCT_SOURCES]
    files = {f"benchmarks/cases/{name.rstrip('_')}.py"}
    for op in STEP_OPS if name == "dsr_step" else (name,):
        files |= of_op(op, native)
    return sorted(files)


def _git(*arguments: str) -> str | None:
    """What git prints, or None if it fails or is not there."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
