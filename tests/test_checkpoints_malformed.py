"""Files that were damaged or made up: one clear error each, bounded memory, nothing loaded."""

import hashlib
import json
import os
import shutil

import pytest
import torch
from safetensors.torch import save_file

from dsr.checkpoints import CheckpointError, Checkpoints

FILES = ("manifest.json", "state.json", "tensors.safetensors")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved")
    part = {"weight": torch.arange(6.0).view(2, 3).t(), "bias": torch.ones(2), "rate": 0.1}
    Checkpoints(directory).save(7, part=part)
    return directory / "step-000000000007"


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / saved.name)


def seal(folder, **changes):
    """Write a manifest that fits the files as they are now, then change it."""
    files = {}
    for name in FILES[1:]:
        data = (folder / name).read_bytes()
        files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest = {"format": "dsr-checkpoint", "version": 1, "step": 7, "files": files} | changes
    (folder / "manifest.json").write_text(json.dumps(manifest))


def refusal(folder):
    """The text of the error; the part must be as it was."""
    part = {"old": 1}
    with pytest.raises(CheckpointError) as caught:
        Checkpoints(folder.parent).load_latest(part=part)
    assert part == {"old": 1}
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_the_helpers_make_what_loads(folder):
    seal(folder)
    part = {}
    assert Checkpoints(folder.parent).load_latest(part=part) == 7
    assert part["weight"].tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_byte_truncation_and_addition_is_found(folder, name):
    path = folder / name
    data = path.read_bytes()
    for position in range(0, len(data), 7):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :])
        refusal(folder)
        path.write_bytes(data[:position])
        refusal(folder)
    path.write_bytes(data + b"}")
    refusal(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_or_no_file(folder, name):
    (folder / name).rename(folder / "elsewhere")
    assert "No such file" in refusal(folder)
    (folder / name).symlink_to(folder / "elsewhere")
    assert f"{name}: expected a regular file" in refusal(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert f"{name}: expected a regular file" in refusal(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    assert f"{name}: expected a regular file" in refusal(folder)


def test_a_step_that_is_a_file(tmp_path):
    (tmp_path / "step-000000000007").touch()
    assert "Not a directory" in refusal(tmp_path / "step-000000000007")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "dsr-checkpoint"),
        ({"version": 2}, "expected version 1, got 2"),
        ({"version": True}, "expected version 1, got True"),
        ({"step": 8}, "expected step 7, got 8"),
        ({"files": None}, "expected the files"),
        ({"files": {"../../secret": {"bytes": 1, "sha256": "0" * 64}}}, "expected the files"),
        ({"files": {name: {"bytes": -1} for name in FILES[1:]}}, "its size in bytes, got -1"),
        ({"files": {name: [1] for name in FILES[1:]}}, "its size in bytes, got None"),
        ({"files": {name: {"bytes": 1, "sha256": "x"} for name in FILES[1:]}}, "a SHA-256"),
        ({"files": {name: {"bytes": 1, "sha256": "0" * 64} for name in FILES[1:]}}, "1 bytes, got"),
    ],
)
def test_manifests_that_promise_something_else(folder, changes, message):
    seal(folder, **changes)
    assert message in refusal(folder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"format": NaN}',
        "9" * 5000,
        " " * 2**20 + "1",
        "\ufeff{}",
    ],
    ids=["empty", "list", "open", "deep", "deep_dicts", "nan", "digits", "long", "bom"],
)
def test_manifests_that_are_not_ours(folder, text):
    (folder / "manifest.json").write_text(text)
    assert "manifest.json: " in refusal(folder)
    (folder / "manifest.json").write_bytes(b"\xff\xfe")
    assert "manifest.json: " in refusal(folder)


def tensor(name="part.bias", **more):
    return {"tensor": {"name": name, **more}}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": 1, "b": 2}, "one tag"),
        ({}, "one tag"),
        ({"pickle": "x"}, "unknown content under the tag 'pickle'"),
        ({"tuple": 3}, "'tuple'"),
        ({"float": "zz"}, "'float'"),
        ({"float": "z" * 16}, "non-hexadecimal"),
        ({"dict": [["a"]]}, "expected pairs"),
        ({"dict": [[True, 1]]}, "expected pairs"),
        ({"dict": [["a", 1], ["a", 2]]}, "comes twice"),
        ({"tensor": {}}, "a tensor's name"),
        (tensor("other"), "no tensor is named 'other'"),
        (tensor(shape=[2]), "expected name, shape and strides"),
        (tensor(shape=[3], strides=[1]), "do not fit"),
        (tensor(shape=[2], strides=[1, 1]), "do not fit"),
        (tensor(shape=[2], strides=[2**40]), "reach outside"),
        (tensor(shape=[2], strides=[10**30]), "reach outside"),
        (tensor(shape=[2], strides=[0]), "overlap"),
        (tensor(shape=[2], strides=[-1]), "sizes and strides"),
        (tensor(shape=[2.0], strides=[1]), "sizes and strides"),
    ],
)
def test_states_that_make_no_sense(folder, value, message):
    state = {"dict": [["part", {"dict": [["x", value]]}]]}
    (folder / "state.json").write_text(json.dumps(state))
    seal(folder)
    text = refusal(folder)
    assert "state.json: " in text
    assert message in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"dict":[["part",3]]}', "dict of parts"),
        ("[1]", "dict of parts"),
        ('{"dict":[["part",1e999]]}', "a float out of range"),
        ('{"dict":[["part",-Infinity]]}', "-Infinity is not JSON"),
        ('{"dict":[],"dict":[]}', "a key comes twice"),
        ("[" * 150 + "]" * 150, "more than 100 containers"),
        ("[" * 10**6, "nested too deeply"),
    ],
    ids=["number", "list", "overflow", "infinity", "twice", "deep", "deeper"],
)
def test_states_that_are_not_ours(folder, text, message):
    (folder / "state.json").write_text(text)
    seal(folder)
    assert message in refusal(folder)


def test_a_state_too_long_is_not_read(folder):
    with (folder / "state.json").open("wb") as file:
        file.truncate(2**26 + 1)
    seal(folder)
    assert "longer than the 67108864 bytes supported" in refusal(folder)


def test_tensors_that_are_none(folder):
    path = folder / "tensors.safetensors"
    data = path.read_bytes()
    header_too_long = (2**62).to_bytes(8, "little") + data[8:]
    for content in (b"", b"\x80\x04K\x01.", data[:-1], data + b"0", header_too_long):
        path.write_bytes(content)
        seal(folder)
        assert str(folder) in refusal(folder)
    save_file({"part.bias": torch.ones(2)}, path)
    seal(folder)
    assert "no tensor is named 'part.weight'" in refusal(folder)


def test_all_reasons_are_told_when_none_verifies(saved, tmp_path):
    for step in (3, 7):
        shutil.copytree(saved, tmp_path / f"step-{step:012d}")
    (tmp_path / "step-000000000007" / "state.json").unlink()
    with pytest.raises(CheckpointError) as caught:
        Checkpoints(tmp_path).load_latest(part={})
    assert "no checkpoint verifies" in str(caught.value)
    assert "expected step 3, got 7" in str(caught.value)
    assert "step-000000000007/state.json: " in str(caught.value)
