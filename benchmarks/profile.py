"""Where the time of a DSR step and of a training step goes: launches, gaps, host time.

On a GPU each is profiled as eager calls and as the replay of a CUDA graph, on a CPU as calls.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.cases.dsr_step import case
from benchmarks.markdown import Row, table
from benchmarks.report import write_machine
from benchmarks.run import DEVICES, Parser, make_folder, names_of
from benchmarks.shapes import net
from benchmarks.table3.methods import SETTINGS
from benchmarks.table3.training import Ours

CSV, MACHINE = "profile.csv", "profile_machine.json"
WARM_UPS, REPEATS = 3, 10


@dataclass
class Profile:
    """One profiled piece of work.

    Attributes:
        work: what was done, and how.
        launches: kernels, copies and fills on a GPU; operators called on a CPU.
        busy_us: time in which the device worked.
        gaps_us: time between its first and last kernel in which it did not.
        host_us: time until the host has queued everything.
        top: the three kernels or operators that took most, with their time.
    """

    work: str
    launches: int
    busy_us: float
    gaps_us: float
    host_us: float
    top: str


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(prog="benchmarks.profile", description=__doc__)
    parser.add_argument("--device", default="cpu", help=" or ".join(DEVICES))
    parser.add_argument("--nets", default=",".join(SETTINGS), help="of %(default)s")
    parser.add_argument("--out", type=Path, help=f"folder for {CSV}")
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = parser.parse_args(arguments)
    if options.device not in DEVICES:
        parser.error(f"--device: expected {' or '.join(DEVICES)}, got {options.device!r}")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: torch sees no CUDA device")
    try:
        nets = names_of(options.nets, SETTINGS, "--nets")
    except ValueError as error:
        parser.error(str(error))
    make_folder(parser, options.out)
    device = torch.device(options.device)
    profiles = [found for name in nets for found in _of_net(name, device)]
    print(text([{k: str(v) for k, v in asdict(found).items()} for found in profiles]))
    if options.out is not None:
        with (options.out / CSV).open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Profile)])
            writer.writeheader()
            writer.writerows(asdict(found) for found in profiles)
        command = f"python -m benchmarks.profile {' '.join(arguments)}"
        write_machine(options.out, device, command, MACHINE)
    return 0


def text(rows: Sequence[Row]) -> str:
    """The table in Markdown."""
    head = ("work", "launches", "device busy", "gaps", "host", "most of it")
    lines = [
        [row["work"], row["launches"], *(f"{float(row[k]):.1f} us" for k in TIMES), row["top"]]
        for row in rows
    ]
    return table(head, lines)


TIMES = ("busy_us", "gaps_us", "host_us")


def _of_net(name: str, device: torch.device) -> list[Profile]:
    step = case(net(name), 0.9, device).providers[0]
    restore = step.restore or (lambda: None)
    found = [profiled(f"{name}: DSR step", step.run, device, restore)]
    training = Ours(SETTINGS[name], device, "dsr", 1000)
    found.append(profiled(f"{name}: training step", training.step, device))
    if device.type == "cuda":
        found.append(_replayed(f"{name}: DSR step, graph", step.run, device, restore))
        found.append(_replayed(f"{name}: training step, graph", training.step, device))
    return found


def _replayed(
    work: str,
    run: Callable[[], object],
    device: torch.device,
    restore: Callable[[], None] = lambda: None,
) -> Profile:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            run()
            restore()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            held = run()
    except RuntimeError as error:
        return Profile(work, 0, 0.0, 0.0, 0.0, f"not captured: {str(error).splitlines()[0]}")
    found = profiled(work, graph.replay, device, restore)
    del held
    return found


def profiled(
    work: str,
    run: Callable[[], object],
    device: torch.device,
    restore: Callable[[], None] = lambda: None,
) -> Profile:
    """Profile one call after a few, and time the host over several."""
    for _ in range(WARM_UPS):
        run()
        restore()
    gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU]) as profiler:
        run()
        if gpu:
            torch.cuda.synchronize()
    restore()
    wanted = torch.autograd.DeviceType.CUDA if gpu else torch.autograd.DeviceType.CPU
    events = [event for event in profiler.events() if event.device_type == wanted]
    times = [(event.name, _own_us(event, gpu)) for event in events]
    busy = sum(us for _, us in times)
    starts = [event.time_range.start for event in events]
    length = max((event.time_range.end for event in events), default=0) - min(starts, default=0)
    return Profile(
        work,
        launches=len(events),
        busy_us=round(busy, 1),
        gaps_us=round(max(0.0, length - busy), 1),
        host_us=round(1e6 * _host_seconds(run, device, restore), 1),
        top=_top(times),
    )


def _host_seconds(
    run: Callable[[], object], device: torch.device, restore: Callable[[], None]
) -> float:
    seconds = []
    for _ in range(REPEATS):
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
        restore()
    return sorted(seconds)[REPEATS // 2]


def _own_us(event: torch.autograd.profiler_util.FunctionEvent, gpu: bool) -> float:
    """The time of a kernel, or of an operator without those that it calls."""
    return float(event.time_range.elapsed_us() if gpu else event.self_cpu_time_total)


def _top(times: Sequence[tuple[str, float]]) -> str:
    totals: dict[str, float] = {}
    for full_name, us in times:
        name = full_name.split("<")[0].split("(")[0].strip()[:60]
        totals[name] = totals.get(name, 0.0) + us
    largest = sorted(totals.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name} {us:.0f} us" for name, us in largest)


if __name__ == "__main__":
    sys.exit(main())
