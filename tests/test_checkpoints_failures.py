"""What a failed write, a full disk or a dead writer leaves behind: the old ones, and no rubbish."""

import errno
import logging
import os
import resource
import subprocess

import pytest
import torch

from dsr import checkpoints as module
from dsr.checkpoints import CheckpointError, Checkpoints

PROTOCOL = ["fsync", "fsync", "fsync", "fsync", "rename", "fsync", "rename"]


def names(directory):
    return sorted(entry.name for entry in directory.iterdir())


def content(step):
    return {"weight": torch.full((3, 4), float(step)), "step": step}


def fail_at(monkeypatch, count):
    """Let the count-th call of os.fsync or os.rename fail; returns the list of calls made."""
    calls = []

    def counted(name):
        real = getattr(os, name)

        def call(*args):
            calls.append(name)
            if len(calls) == count:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args)

        return call

    for name in ("fsync", "rename"):
        monkeypatch.setattr(os, name, counted(name))
    return calls


@pytest.mark.parametrize("count", range(1, len(PROTOCOL) + 2))
def test_any_failing_call_abandons_the_attempt(tmp_path, monkeypatch, caplog, count):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, state=content(1))
    with monkeypatch.context() as patch:
        calls = fail_at(patch, count)
        if count <= PROTOCOL.index("rename") + 2:
            with pytest.raises(OSError, match="No space left"):
                checkpoints.save(2, state=content(2))
            expected, present = 1, [1]
        else:
            checkpoints.save(2, state=content(2))
            assert calls == PROTOCOL
            expected, present = 2, [1, 2] if count == len(PROTOCOL) else [2]
            assert ("cannot delete" in caplog.text) == (count == len(PROTOCOL))
    assert names(tmp_path) == [f"step-{step:012d}" for step in present]
    state = {}
    assert checkpoints.load_latest(state=state) == expected
    assert state["step"] == expected
    checkpoints.save(3, state=content(3))
    assert checkpoints.steps() == [3]


def test_a_disk_that_fills_up_while_tensors_are_written(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state=content(1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match=r"tensors\.safetensors"):
            checkpoints.save(2, state={"weight": torch.ones(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == ["step-000000000001"]


def test_a_write_that_does_not_read_back_is_withdrawn(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, state=content(1))

    def write_and_damage(folder, step, state, tensors):
        real(folder, step, state, tensors)
        (folder / "state.json").write_bytes(state[:-1])

    real = module.write_checkpoint
    monkeypatch.setattr(module, "write_checkpoint", write_and_damage)
    with pytest.raises(CheckpointError, match=r"state\.json: expected \d+ bytes, got \d+"):
        checkpoints.save(2, state=content(2))
    assert names(tmp_path) == ["step-000000000001"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupt_leaves_no_temporary(tmp_path, monkeypatch, error):
    def interrupted(folder, *_):
        folder.mkdir()
        raise error

    monkeypatch.setattr(module, "write_checkpoint", interrupted)
    with pytest.raises(error):
        Checkpoints(tmp_path).save(1, state={})
    assert names(tmp_path) == []


def test_only_temporaries_of_dead_writers_are_removed(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    alive = f".tmp-1-{os.getppid()}-ab"
    used = f".tmp-1-{os.getpid()}-cd"
    removed = [f".tmp-1-{dead.pid}-ef", f".tmp-9-{os.getpid()}-12"]
    others = [".tmp-notes", "notes", "step-1"]
    for name in (alive, used, *removed, *others):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    module._in_use.add(used)
    try:
        Checkpoints(tmp_path).save(1, state={})
    finally:
        module._in_use.discard(used)
    assert names(tmp_path) == sorted([alive, used, *others, "step-000000000001"])


def test_a_temporary_of_another_user_is_left_alone(tmp_path, monkeypatch):
    def kill(pid, signal):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    foreign = ".tmp-1-999999999-ab"
    (tmp_path / foreign).mkdir()
    monkeypatch.setattr(os, "kill", kill)
    Checkpoints(tmp_path).save(1, state={})
    assert names(tmp_path) == [foreign, "step-000000000001"]


def test_a_temporary_that_cannot_be_removed_is_reported(tmp_path, monkeypatch, caplog):
    def rmtree(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    stale = f".tmp-1-{os.getpid()}-ab"
    (tmp_path / stale).mkdir()
    monkeypatch.setattr(module.shutil, "rmtree", rmtree)
    Checkpoints(tmp_path).save(1, state={})
    assert f"cannot delete {tmp_path / stale}" in caplog.text
    assert names(tmp_path) == [stale, "step-000000000001"]


def test_a_directory_that_went_away_is_an_error_of_its_own(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path / "run")
    monkeypatch.setattr(checkpoints, "_remove_stale", (tmp_path / "run").rmdir)
    monkeypatch.setattr(checkpoints, "_make_room", lambda step: None)
    with pytest.raises(FileNotFoundError, match=r"run/\.tmp-1-"):
        checkpoints.save(1, state={})
    assert names(tmp_path) == []


class Strange:
    """Has the methods of a part, and gives a list."""

    def state_dict(self):
        return [1, 2]

    def load_state_dict(self, state):
        raise AssertionError(state)


class Wrapper(torch.optim.SGD):
    """An optimizer that loads in its own way."""

    def load_state_dict(self, state):
        self.seen = state
        super().load_state_dict(state)


def test_a_part_whose_state_is_no_dict_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"strange: expected state_dict\(\) to return a dict"):
        Checkpoints(tmp_path).save(1, strange=Strange())
    assert names(tmp_path) == []


def test_an_optimizer_that_loads_in_its_own_way_is_left_to_it(tmp_path):
    def half():
        weight = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
        return Wrapper([weight], lr=0.1, momentum=0.9)

    saved, loaded = half(), half()
    for parameter in saved.param_groups[0]["params"]:
        saved.state[parameter]["momentum_buffer"] = torch.full((3,), 1 / 3)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, optimizer=saved)
    checkpoints.load_latest(optimizer=loaded)
    (buffer,) = loaded.state.values()
    assert loaded.seen["state"][0]["momentum_buffer"].dtype == torch.float32
    assert buffer["momentum_buffer"].dtype == torch.bfloat16  # cast, as torch does it


@pytest.mark.parametrize("keep", ["3", 1.5, True])
def test_keep_is_a_count(tmp_path, keep):
    with pytest.raises(TypeError, match="keep: expected an int"):
        Checkpoints(tmp_path / "run", keep=keep)
    assert names(tmp_path) == []


def test_a_reader_outlives_a_writer_that_deletes_under_it(tmp_path, monkeypatch, caplog):
    writer, reader = Checkpoints(tmp_path, keep=1), Checkpoints(tmp_path)
    writer.save(1, state=content(1))
    real = module.read_checkpoint

    def overtaken(folder, step):
        if step == 1:
            writer.save(2, state=content(2))
        return real(folder, step)

    monkeypatch.setattr(module, "read_checkpoint", overtaken)
    with caplog.at_level(logging.WARNING):
        assert reader.load_latest(state={}) == 2
    assert not caplog.records


def test_a_second_writer_of_the_same_step_destroys_nothing(tmp_path, monkeypatch):
    first, second = Checkpoints(tmp_path), Checkpoints(tmp_path)
    real = module.write_checkpoint

    def overtaken(folder, *rest):
        monkeypatch.setattr(module, "write_checkpoint", real)
        real(folder, *rest)
        second.save(1, state=content(100))

    monkeypatch.setattr(module, "write_checkpoint", overtaken)
    with pytest.raises(OSError, match="not empty"):
        first.save(1, state=content(1))
    state = {}
    assert first.load_latest(state=state) == 1
    assert state["step"] == 100
    assert names(tmp_path) == ["step-000000000001"]
