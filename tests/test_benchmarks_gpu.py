"""`make bench-gpu`: its commands, its order, its time, as far as they can be seen without a GPU."""

import importlib
import sys
import time

import pytest
import torch

from benchmarks import gpu, gpu_log
from benchmarks.registry import DEFAULT, OPS
from benchmarks.shapes import DTYPES, NETS
from benchmarks.tables import ON_HOST


def test_the_commands_are_such_as_the_benchmarks_take(tmp_path, monkeypatch, capsys):
    """Without a GPU each gets as far as saying that there is none: its options are known."""
    log, commands = gpu_log.Log(tmp_path), []
    monkeypatch.setattr(
        log, "run", lambda name, command, cap_s: (commands.append(command) or 0, "")
    )
    steps = gpu.bench(log)
    assert [name for name, _ in steps] == [*gpu.BENCHES, "curves"]
    assert {result for _, result in steps} == {"ok"}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for command in commands[:-1]:
        module = importlib.import_module(command[2])
        main = (
            getattr(module, "main", None) or importlib.import_module(f"{command[2]}.__main__").main
        )
        with pytest.raises(SystemExit):
            main(command[3:])
        assert "no CUDA device" in capsys.readouterr().err
    for _, (_, *arguments) in gpu.BENCHES.values():
        for option, known in (("--nets", NETS), ("--ops", OPS), ("--dtype", DTYPES)):
            if option in arguments:
                assert set(arguments[arguments.index(option) + 1].split(",")) <= set(known)


def test_all_steps_end_within_the_limit_in_order_of_importance():
    caps = [cap for cap, _ in gpu.BENCHES.values()]
    assert gpu.BUILD_S + sum(caps) + gpu.CURVES_S <= gpu.LIMITS_S["bench"]
    order = list(gpu.BENCHES)
    assert order[:5] == ["ops", "table3", "resnet50", "authors", "profile"]
    _, arguments = gpu.BENCHES["ops"]
    ops = arguments[arguments.index("--ops") + 1].split(",")
    assert ops[0] == "dsr_step"
    assert set(ops) == set(DEFAULT) - set(ON_HOST)


def test_a_step_that_takes_too_long_is_cut_off_and_the_next_one_runs(tmp_path, capsys):
    log = gpu_log.Log(tmp_path, limit_s=60)
    slow = [sys.executable, "-c", "import time; print('a row', flush=True); time.sleep(60)"]
    begin = time.monotonic()
    code, output = log.run("slow", slow, cap_s=1.5)
    assert time.monotonic() - begin < 20
    assert code == gpu_log.CUT_OFF
    assert output == "a row\n"
    assert gpu_log.ending(code) == "cut off at its share of the time; the rows until then are kept"
    assert log.run("next", [sys.executable, "-c", "print(1)"], cap_s=30) == (0, "1\n")
    assert gpu_log.Log(tmp_path, limit_s=0).run("late", slow)[0] == gpu_log.TIMED_OUT
