"""Which files an op is made of: what its kernels include, what its launchers import."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from dsr_kernels.schema import OPS

ROOT = Path(__file__).parent.parent
CSRC = ROOT / "csrc"
# What the training API runs at every reallocation and at every step of the optimizer.
TRAINING = (
    "python/dsr/reallocate.py",
    "python/dsr/sparsifier.py",
    "python/dsr/masked.py",
    "python/dsr/hooks.py",
    "python/dsr/optimizers.py",
    "python/dsr/nonfinite.py",
    "python/dsr/divergence.py",
    "python/dsr/dormant.py",
)
METHODS = "python/dsr/methods"


def of_op(op: str, native: str) -> set[str]:
    """The files of one op as far as ``native``, "cpu" or "cuda", runs it; none if there is none.

    Its own in every folder, what its native kernels include and the files that share those headers,
    and what its Triton launcher and, for CUDA, the launchers' tables import within the package.
    """
    if op not in OPS:
        return set()
    stem = OPS[op].stem
    found = {Path(f"dsr_kernels/ops/{stem}.py"), Path(f"dsr_kernels/library/{stem}.py")}
    if native == "cpu":
        found |= native_files(f"cpu/{stem}.cpp")
    else:
        found |= native_files(f"cuda/{stem}.cu")
        found |= python_files(f"dsr_kernels/triton_kernels/{stem}.py")
        if "cuda" in OPS[op].backends:
            found |= python_files("dsr_kernels/cuda_plan.py")
    return {str(path) for path in found if (ROOT / path).exists()}


def of_training(native: str) -> set[str]:
    """The training API's part of a reallocation, and every op that it calls."""
    files = {*TRAINING, METHODS}
    for path in (*(ROOT / name for name in TRAINING), *(ROOT / METHODS).glob("*.py")):
        for op in _imported_ops(path):
            files |= of_op(op, native)
    return files


@cache
def native_files(name: str) -> frozenset[Path]:
    """A file of csrc and all it includes there, from the root of the repository.

    Functions that a header declares and no op's file defines are in files that share the first word
    of the header's name: order_search.h, order_search.cu, order_ties.cu.
    """
    own = CSRC / name
    found, waiting = set[Path](), [own] if own.exists() else []
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for included in re.findall(r'^\s*#include "([^"]+)"', path.read_text(), re.MULTILINE):
            headers = [p for p in (CSRC / included, path.parent / included) if p.exists()]
            waiting += headers[:1]
            for header in headers[:1]:
                waiting += _shared_sources(header)
    return frozenset(path.relative_to(ROOT) for path in found)


def _shared_sources(header: Path) -> Iterator[Path]:
    word = header.stem.split("_")[0]
    stems = {schema.stem for schema in OPS.values()}
    for path in header.parent.glob(f"{word}*.c*"):
        if path.stem not in stems and path.stem.split("_")[0] == word:
            yield path


@cache
def python_files(name: str) -> frozenset[Path]:
    """A file and the modules of ``dsr_kernels`` that it imports, and so on."""
    found, waiting = set[Path](), [Path(name)]
    while waiting:
        path = waiting.pop()
        if path in found or not (ROOT / path).exists():
            continue
        found.add(path)
        waiting += _modules(path)
    return frozenset(found)


def _modules(path: Path) -> Iterator[Path]:
    """Files that an import could mean; not all of them exist."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dsr_kernels."):
            folder = Path(*str(node.module).split("."))
            yield folder.with_suffix(".py")
            yield from (folder / f"{alias.name}.py" for alias in node.names)


def _imported_ops(path: Path) -> Iterable[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dsr_kernels"):
            yield from (alias.name for alias in node.names if alias.name in OPS)
