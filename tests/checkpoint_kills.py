"""Kill processes that are saving checkpoints, and look at what they leave behind.

Run as ``python checkpoint_kills.py random|lines DIRECTORY``: a process of its own, so that it can
fork children that have torch already and never had a thread. Prints one line of JSON.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import torch

from dsr import checkpoint_files, checkpoints
from dsr.checkpoints import Checkpoints

KEEP = 2
KILLS = 210
WARM_UP = 10
TRACED = {checkpoint_files.__file__, checkpoints.__file__}


def content(step):
    """What the checkpoint of a step must hold, a few hundred kB."""
    generator = torch.Generator().manual_seed(step)
    return {
        "weight": torch.randn(300, 300, generator=generator).t(),
        "state": {0: {"count": torch.tensor(step)}},
        "values": [step, (step / 3, None)],
    }


def verified_latest(directory):
    """The step that a new process would resume from, its content compared in full.

    Every directory with a step's name must be complete, not only the newest.
    """
    state = {}
    saved = Checkpoints(directory, KEEP)
    for step in saved.steps():
        checkpoint_files.verify_checkpoint(directory / f"step-{step:012d}", step)
    step = saved.load_latest(state=state)
    if step is not None:
        expected = content(step)
        assert torch.equal(state["weight"], expected["weight"])
        assert state["weight"].stride() == expected["weight"].stride()
        assert torch.equal(state["state"][0]["count"], expected["state"][0]["count"])
        assert state["values"] == expected["values"]
    return -1 if step is None else step


def temporaries(directory):
    return [entry.name for entry in directory.iterdir() if entry.name.startswith(".tmp-")]


def forked(work):
    """Run ``work(report)`` in a child; returns its process number and where its reports arrive.

    ``report(number)`` sends one number, and has sent it even if the child dies right after.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, os.fdopen(reading)
    try:
        work(lambda number: os.write(writing, b"%d\n" % number))
    finally:
        os._exit(3)


def finished(child):
    """Wait for a child; whether it was killed rather than ended by itself."""
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def kill_at_random(directory):
    """Children save as fast as they can; each is killed at a random instant."""
    generator = random.Random(0)
    rounds = during_write = 0
    acknowledged = WARM_UP - 1
    begun = time.perf_counter()
    for step in range(WARM_UP):
        Checkpoints(directory, KEEP).save(step, state=content(step))
    longest_delay = 3 * (time.perf_counter() - begun) / WARM_UP
    for _ in range(KILLS):

        def work(report):
            saver = Checkpoints(directory, KEEP)
            step = verified_latest(directory) + 1
            report(-1)
            while True:
                saver.save(step, state=content(step))
                report(step)
                step += 1

        started = acknowledged
        child, reports = forked(work)
        reports.readline()
        time.sleep(generator.uniform(0, longest_delay))
        os.kill(child, signal.SIGKILL)
        assert finished(child)
        acknowledged = max([acknowledged, *map(int, reports.read().split())])
        reports.close()
        rounds += acknowledged > started
        during_write += bool(temporaries(directory))
        latest = verified_latest(directory)
        assert latest >= acknowledged, f"step {acknowledged} was saved, step {latest} is left"
        assert latest <= acknowledged + 1
        acknowledged = latest
    return {"kills": KILLS, "during_write": during_write, "with_progress": rounds}


def kill_at_lines(directory):
    """The same save, killed before every line of it that runs, one line after the other."""
    prepared = directory / "prepared"
    for step in range(KEEP):
        Checkpoints(prepared, KEEP).save(step, state=content(step))
    found = []
    killed = True
    while killed:
        run = directory / "run"
        shutil.copytree(prepared, run)
        child, reports = forked(lambda report, run=run: save_traced(run, len(found) + 1, report))
        saved = reports.read().split()
        reports.close()
        killed = finished(child)
        found.append(verified_latest(run))
        assert found[-1] >= KEEP - 1
        assert killed or saved == [str(KEEP)]
        Checkpoints(run, KEEP).save(KEEP + 1, state=content(KEEP + 1))
        assert verified_latest(run) == KEEP + 1
        assert len(Checkpoints(run, KEEP).steps()) == KEEP
        assert not temporaries(run)
        shutil.rmtree(run)
    assert found == sorted(found), "a checkpoint that was there is gone a line later"
    return {"kills": len(found) - 1, "old": found.count(KEEP - 1), "new": found.count(KEEP)}


def save_traced(directory, last, report):
    """Save the next step and die before the ``last``-th line of our code."""
    lines = 0

    def trace(frame, event, _):
        nonlocal lines
        if frame.f_code.co_filename not in TRACED:
            return None
        lines += event == "line"
        if lines == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    saver, state = Checkpoints(directory, KEEP), content(KEEP)
    sys.settrace(trace)
    saver.save(KEEP, state=state)
    sys.settrace(None)
    report(KEEP)


if __name__ == "__main__":
    torch.set_num_threads(1)
    modes = {"random": kill_at_random, "lines": kill_at_lines}
    print(json.dumps(modes[sys.argv[1]](Path(sys.argv[2]))))
