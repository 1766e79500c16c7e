"""Which committed results count as older than what they measured."""

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks import sources, stale
from benchmarks.markdown import FormatError
from dsr_kernels.schema import OPS

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("native", ["cpu", "cuda"])
@pytest.mark.parametrize("op", OPS)
def test_the_files_of_an_op_exist_and_hold_its_own(op, native):
    found = sources.of_op(op, native)
    assert all((ROOT / name).is_file() for name in found)
    assert f"dsr_kernels/ops/{OPS[op].stem}.py" in found
    own = {"cpu": f"csrc/cpu/{OPS[op].stem}.cpp", "cuda": f"csrc/cuda/{OPS[op].stem}.cu"}[native]
    assert (own in found) == (native in OPS[op].backends)
    if native == "cuda" and "triton" in OPS[op].backends:
        assert f"dsr_kernels/triton_kernels/{OPS[op].stem}.py" in found


def test_includes_and_imports_are_followed_to_the_end():
    cpu, cuda = (sources.of_op("kth_magnitude", native) for native in ("cpu", "cuda"))
    assert {"csrc/cpu/order_search.h", "csrc/common/keys.h", "csrc/common/host_device.h"} <= cpu
    assert not any("cuda" in name or "triton" in name for name in cpu)
    assert {"csrc/cuda/order_search.cu", "csrc/cuda/order_ties.cu", "csrc/cuda/reduce.h"} <= cuda
    assert {"dsr_kernels/triton_kernels/units.py", "dsr_kernels/cuda_plan.py"} <= cuda
    assert not {"csrc/cuda/prune_threshold.cu", "csrc/cuda/growth.h"} & cuda
    grow = sources.of_op("grow_random_", "cuda")
    assert {"csrc/common/philox.h", "dsr_kernels/triton_kernels/philox.py"} <= grow
    assert sources.of_op("checkpoint_save", "cpu") == set()


def test_a_sequence_is_made_of_its_ops_and_table_3_of_the_training_api_too():
    step = stale.sources("dsr_step", "cpu")
    assert {"csrc/cpu/prune_threshold.cpp", "csrc/cpu/reset_state.cpp"} <= set(step)
    table3 = set(stale.sources("table3", "cpu"))
    assert {"python/dsr/hooks.py", "python/dsr/methods", "benchmarks/table3"} <= table3
    native = {Path(name).stem for name in table3 if name.startswith("csrc/cpu/")}
    assert {"apply_mask", "add_noise", "prune_sign_flips", "layer_mean", "grow_largest"} <= native
    assert "csrc/cuda/add_noise.cu" in stale.sources("profile", "cuda")


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit, and results that were measured at it."""
    git(tmp_path, "init")
    (tmp_path / "one.h").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    monkeypatch.setattr(stale, "ROOT", tmp_path)
    monkeypatch.setattr(stale, "sources", lambda name, native: [f"{name}.h"])
    folder = tmp_path / "cpu"
    folder.mkdir()
    write_commit(folder, stale._git("rev-parse", "--short", "HEAD"))
    return folder


def commit_file(file):
    file.write_text("2")
    git(file.parent, "add", file.name)
    git(file.parent, "commit", "-m", file.name)


def write_commit(folder, commit):
    (folder / "machine.json").write_text(json.dumps({"commit": commit}))


def test_results_are_stale_once_a_source_has_changed(checkout):
    names = ["one", "two"]
    assert stale.stale(checkout, names) == []
    commit_file(checkout.parent / "two.h")
    assert stale.stale(checkout, names) == ["two"]
    assert stale.stale(checkout, names, "none.json") == []


def test_what_only_tells_of_results_makes_none_stale(checkout, monkeypatch):
    monkeypatch.setattr(stale, "sources", lambda name, native: ["benchmarks/table3"])
    folder = checkout.parent / "benchmarks/table3"
    folder.mkdir(parents=True)
    for name, expected in (("text.py", []), ("picture.py", []), ("measure.py", ["table3"])):
        commit_file(folder / name)
        assert stale.stale(checkout, ["table3"]) == expected


@pytest.mark.parametrize("commit", ["1234567", "1234567-dirty", None])
def test_results_of_an_unknown_commit_are_stale(checkout, commit):
    write_commit(checkout, commit)
    assert stale.stale(checkout, ["one", "two"]) == ["one", "two"]


def test_outside_a_checkout_nothing_is_called_stale(checkout, monkeypatch):
    monkeypatch.setattr(stale, "_git", lambda *arguments: None)
    assert stale.stale(checkout, ["one"]) == []


def test_a_machine_file_without_a_commit_is_refused(checkout):
    (checkout / "machine.json").write_text("{}")
    with pytest.raises(FormatError, match="expected a key 'commit'"):
        stale.stale(checkout, ["one"])
