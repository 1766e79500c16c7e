"""The documents are true: their Python runs, their links lead somewhere."""

import re
from pathlib import Path

import pytest
import torch
from nets import OPTIMIZERS, assert_promises, mlp, train

import dsr
from dsr_kernels import schema

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def python_blocks(path):
    return re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL)


def test_the_readmes_example_runs(capsys):
    torch.manual_seed(0)
    (code,) = python_blocks(ROOT / "README.md")
    scope = {}
    exec(compile(code, "README.md", "exec"), scope)
    shown = capsys.readouterr().out
    assert "fc1.weight" in shown
    assert "dense: weight of BatchNorm1d" in shown
    assert sum(int((p != 0).sum()) for p in scope["plain"].parameters()) > 0


def test_the_method_of_the_document_trains():
    code = python_blocks(ROOT / "docs" / "adding-a-method.md")[0]
    assert len([line for line in code.splitlines() if line.strip()]) < 30
    scope = {}
    exec(compile(code, "adding-a-method.md", "exec"), scope)
    try:
        model = mlp()
        method = dsr.methods.METHODS["weakest-row"](0.8, period=3, stop=None)
        sparse = dsr.sparsify(model, method)
        optimizer = OPTIMIZERS["momentum"](model.parameters())
        sparse.attach(optimizer)
        train(model, sparse, optimizer, 9, each=lambda _: assert_promises(model, sparse))
        assert sparse.stats().total_pruned > 0
    finally:
        dsr.methods.METHODS.pop("weakest-row")


def test_the_op_of_the_document_is_declared_so():
    text = (ROOT / "docs" / "adding-an-op.md").read_text()
    (code,) = python_blocks(ROOT / "docs" / "adding-an-op.md")
    assert eval(code, dict(vars(schema))) == schema.OPS["apply_mask_"]
    (declaration,) = re.findall(r"```cpp\n(.*?)```", text, flags=re.DOTALL)
    assert declaration in (ROOT / "csrc/cpu/launchers.h").read_text()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target
