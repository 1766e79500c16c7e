"""The tree holds what schema.py declares, and the arrows between the packages go one way."""

import ast
import re
from pathlib import Path

import pytest

import dsr_kernels
from dsr_kernels.schema import OPS

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "cpu": ("csrc/cpu", ".cpp"),
    "cuda": ("csrc/cuda", ".cu"),
    "triton": ("dsr_kernels/triton_kernels", ".py"),
    "library": ("dsr_kernels/library", ".py"),
    "reference": ("dsr_kernels/reference", ".py"),
}
# Files that serve several ops, by folder.
SHARED = {
    "csrc/cpu": set(),
    "csrc/cuda": {"device", "order_search", "order_ties"},
    "dsr_kernels/triton_kernels": {
        *("__init__", "bijection", "bits", "elements", "finish", "philox", "places", "pointers"),
        *("digits", "prune_pass", "ranks", "search", "ties", "zeroing"),
        *("tuning", "units", "conv_kernels", "product_tuning", "tile_lists", "weight_tiles"),
        *("packed_blocks", "masked_copy"),
    },
    "dsr_kernels/library": {"__init__", "masking"},
    "dsr_kernels/reference": {"__init__", "bijection", "normal", "philox", "units"},
    "dsr_kernels/ops": {"__init__"},
}
PYTHON_FILES = sorted(
    path
    for folder in ("dsr_kernels", "python", "benchmarks", "tests")
    for path in (ROOT / folder).rglob("*.py")
)
NATIVE_FILES = sorted(path for path in (ROOT / "csrc").rglob("*.*") if path.is_file())


def stems(folder, suffix):
    return {path.stem for path in (ROOT / folder).glob(f"*{suffix}")} - SHARED[folder]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_backends_folder_holds_its_ops_and_no_other(name):
    declared = {op.stem for op in OPS.values() if name in op.backends}
    assert stems(*FOLDERS[name]) == declared


def test_every_op_has_its_public_function_and_tests():
    declared = {op.stem for op in OPS.values()}
    assert stems("dsr_kernels/ops", ".py") == declared
    for op in OPS.values():
        assert op.name in dsr_kernels.__all__
        assert list((ROOT / "tests").glob(f"test_{op.stem}*.py")), f"{op.name} has no test file"


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_native_ops_are_bound(name):
    bindings = (ROOT / f"csrc/bindings_{name}.cpp").read_text()
    bound = set(re.findall(rf'def\("(\w+)", &dsr::{name}::\1,', bindings))
    declared = {op.stem for op in OPS.values() if name in op.backends}
    assert bound - {"unavailable", "versions", "masked_copy"} == declared


def imported_names(path):
    """Every module a file imports, and every name it takes from dsr_kernels."""
    modules, names = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            modules.add(node.module)
            if node.module == "dsr_kernels":
                names |= {alias.name for alias in node.names}
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "dsr_kernels"
        ):
            names.add(node.attr)
    return modules, names


def test_dsr_kernels_does_not_import_dsr():
    for path in (ROOT / "dsr_kernels").rglob("*.py"):
        modules, _ = imported_names(path)
        assert not {name for name in modules if name.split(".")[0] == "dsr"}, path


def test_dsr_uses_only_what_dsr_kernels_exports():
    exported = {*dsr_kernels.__all__, "__version__"}
    for path in (ROOT / "python/dsr").rglob("*.py"):
        modules, names = imported_names(path)
        assert not {name for name in modules if name.startswith("dsr_kernels.")}, path
        assert names <= exported, path


def test_csrc_knows_no_torch():
    for path in NATIVE_FILES:
        text = path.read_text()
        assert not re.search(r"#include\s*[<\"](torch|ATen|c10|caffe2)", text), path


def lines(path):
    return len(path.read_text().splitlines())


def test_files_and_functions_are_short():
    for path in PYTHON_FILES:
        relative = path.relative_to(ROOT).parts
        kernel = relative[0] == "tests" or relative[:2] == ("dsr_kernels", "triton_kernels")
        assert lines(path) < (250 if kernel else 300), path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                start = (
                    node.body[0].lineno
                    if ast.get_docstring(node) is None
                    else node.body[0].end_lineno
                )
                assert node.end_lineno - start < 50, f"{path}: {node.name}"
    for path in NATIVE_FILES:
        assert lines(path) < 250, path


def test_tests_are_no_package():
    assert not list((ROOT / "tests").rglob("__init__.py"))
