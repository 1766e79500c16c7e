"""A whole training step with static masks, in every way to keep a network sparse, beside dense.

All of them train in turns on the same synthetic images, a step at a time, five on a GPU; ratios are
taken within each round.
"""

from __future__ import annotations

import csv
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import dsr
from benchmarks.entries import verdict
from benchmarks.markdown import NET_NAMES, NOT_MEASURED, FormatError, read_rows, table
from benchmarks.report import write_machine
from benchmarks.run import DEVICES, Parser, make_folder, names_of, positive
from benchmarks.table3.methods import SETTINGS, SPARSITY, Setting
from benchmarks.table3.paired import seconds_of
from benchmarks.table3.training import Dense, Ours, Training
from benchmarks.timing import median_interval

CSV, MACHINE = "training_step.csv", "training_step_machine.json"
KEY = ("net", "batch", "image", "way")
COLUMNS = (
    *KEY, "rounds", "step_ms", "of_dense", "of_dense_low", "of_dense_high",
    "of_multiplied", "of_multiplied_low", "of_multiplied_high", "error",
)  # fmt: skip
OURS, MULTIPLIED = "dsr.sparsify", "w * mask"
AT_MOST = {"cpu": 1.03, "cuda": 1 / 0.98}  # of dense, asked of dsr.sparsify
CPU_SHAPES = {"wrn-28-2": (16, 32), "resnet50": (8, 64)}  # images, and their side
WARM_UPS = 3
LEAST_ROUNDS = 3
GPU_STEPS = 5  # a round, so that a step's launches hide behind the one before
Row = dict[str, Any]


class Multiplied(Dense):
    """Masks as one writes them first: ``w * mask`` in every forward pass."""

    def __init__(self, setting: Setting, device: torch.device) -> None:
        super().__init__(setting, device)
        for module in _sparse_modules(self.model).values():
            mask = (torch.rand(module.weight.shape) >= SPARSITY).float().to(device)
            parametrize.register_parametrization(module, "weight", _Masked(mask))


class _Masked(nn.Module):
    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Any:
        return weight * self.mask


class Modules(Dense):
    """Every sparse layer a module of ``dsr.nn``, which masks for itself."""

    def __init__(self, setting: Setting, device: torch.device) -> None:
        super().__init__(setting, device)
        for name, module in _sparse_modules(self.model).items():
            masked = dsr.nn.MaskedConv2d if isinstance(module, nn.Conv2d) else dsr.nn.MaskedLinear
            mask = torch.rand(module.weight.shape, device=device) >= SPARSITY
            self.model.set_submodule(name, masked.from_dense(module, mask, weight_is_masked=True))
        self.optimizer = self.make_optimizer()


WAYS: dict[str, Callable[[Setting, torch.device], Training]] = {
    "dense": Dense,
    OURS: lambda setting, device: Ours(setting, device, "dsr", None),
    "dsr.nn": Modules,
    MULTIPLIED: Multiplied,
}


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = Parser(prog="benchmarks.training_step", description=__doc__)
    parser.add_argument("--device", default="cpu", help=" or ".join(DEVICES))
    parser.add_argument("--nets", default=",".join(SETTINGS), help="of %(default)s")
    parser.add_argument("--batch", type=int, help="images a step; default: by net and device")
    parser.add_argument("--image", type=int, help="their side; default: by net and device")
    parser.add_argument("--seconds", type=positive, default=60.0, help="a net; default: 60")
    parser.add_argument("--out", type=Path, help=f"folder for {CSV} and {MACHINE}")
    parser.add_argument("--append", action="store_true", help="to the rows that are there")
    options = parser.parse_args(arguments)
    if options.device not in DEVICES:
        parser.error(f"--device: expected {' or '.join(DEVICES)}, got {options.device!r}")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: torch sees no CUDA device")
    for name in ("batch", "image"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"--{name}: expected an int of at least 1, got {getattr(options, name)}")
    try:
        nets = names_of(options.nets, SETTINGS, "--nets")
        there = options.out is not None and options.append
        rows: list[Row] = [*read_rows(options.out / CSV, COLUMNS)] if there else []
    except (ValueError, FormatError) as error:
        parser.error(str(error))
    make_folder(parser, options.out)
    device = torch.device(options.device)
    for net in nets:
        new = measured(net, _shape(net, device, options.batch, options.image), device,
                       options.seconds)  # fmt: skip
        keys = {tuple(str(row[name]) for name in KEY) for row in new}
        rows = [row for row in rows if tuple(row[name] for name in KEY) not in keys] + new
        if options.out is not None:
            _write(rows, options.out)
        print(text([{k: str(v) for k, v in row.items()} for row in new], options.device))
    if options.out is not None:
        command = f"python -m benchmarks.training_step {' '.join(arguments)}"
        write_machine(options.out, device, command, MACHINE, options.append)
    return 0


def measured(net: str, shape: tuple[int, int], device: torch.device, seconds: float) -> list[Row]:
    """A row a way, from rounds of steps in turns for about ``seconds``."""
    batch, image = shape
    setting = replace(SETTINGS[net], batch=batch, image=image, cpu_batch=batch, cpu_image=image)
    trainings, errors = {}, {}
    for name, make in WAYS.items():
        try:
            trainings[name] = make(setting, device)
            seconds_of(trainings[name], WARM_UPS)
        except Exception as error:  # a way that cannot run is a row that says so
            trainings.pop(name, None)
            errors[name] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    times = _rounds(trainings, GPU_STEPS if device.type == "cuda" else 1, seconds)
    start = {"net": net, "batch": batch, "image": image}
    rows = [start | {"way": name} | _ratios(times, name) for name in trainings]
    return rows + [start | {"way": name, "error": error} for name, error in errors.items()]


def _rounds(trainings: dict[str, Training], steps: int, seconds: float) -> dict[str, list[float]]:
    """Seconds of a step, a round each; every round begins with another way."""
    times: dict[str, list[float]] = {name: [] for name in trainings}
    names, begin = list(trainings), time.monotonic()
    number = 0
    while number < LEAST_ROUNDS or time.monotonic() - begin < seconds:
        for place in range(len(names)):
            name = names[(place + number) % len(names)]
            times[name].append(seconds_of(trainings[name], steps) / steps)
        number += 1
    return times


def _ratios(times: dict[str, list[float]], name: str) -> Row:
    row: Row = {"rounds": len(times[name]), "step_ms": 1e3 * statistics.median(times[name])}
    for column, base in (("of_dense", "dense"), ("of_multiplied", MULTIPLIED)):
        if base in times:
            ratios = [own / other for own, other in zip(times[name], times[base], strict=True)]
            low, high = median_interval(ratios)
            row |= {column: statistics.median(ratios), f"{column}_low": low, f"{column}_high": high}
    return {key: float(f"{value:.6g}") for key, value in row.items()} | {"rounds": row["rounds"]}


def text(rows: Sequence[Row], device: str) -> str:
    """The table in Markdown; ``device``, "cpu" or "cuda", decides what is asked."""
    if not rows:
        return NOT_MEASURED
    head = ("network", "images", "way", "rounds", "step", "of dense, 95 %", "of w * mask, 95 %",
            "asked")  # fmt: skip
    return table(head, [_line(row, AT_MOST[device]) for row in rows], left=3)


def judged(rows: Sequence[Row], device: str) -> list[tuple[str, str, str]]:
    """What is asked of dsr.sparsify on each network, at its default batch and image.

    Returns:
        The network, the ratio, the verdict, for each.
    """
    shapes = {net: _shape(net, torch.device(device), None, None) for net in SETTINGS}
    own = {
        row["net"]: row
        for row in rows
        if row["way"] == OURS
        and not row["error"]
        and (int(row["batch"]), int(row["image"])) == shapes[row["net"]]
    }
    return [
        (net, _interval(own[net], "of_dense"), _verdict(own[net], "of_dense", AT_MOST[device]))
        if net in own
        else (net, "", "open")
        for net in SETTINGS
    ]


def _line(row: Row, bound: float) -> list[str]:
    images = f"{row['batch']} x {row['image']} x {row['image']}"
    start = [NET_NAMES[row["net"]], images, row["way"]]
    if row.get("error"):
        return [*start, "", f"cannot run: {row['error']}", "", "", ""]
    own = row["way"] == OURS
    asked = [f"{bound:.3g}: {_verdict(row, 'of_dense', bound)}",
             f"below `w * mask`: {_verdict(row, 'of_multiplied', 1.0)}"]  # fmt: skip
    return [
        *start,
        row["rounds"],
        f"{float(row['step_ms']):.4g} ms",
        "" if row["way"] == "dense" else _interval(row, "of_dense"),
        "" if row["way"] == MULTIPLIED else _interval(row, "of_multiplied"),
        ", ".join(asked) if own else "",
    ]


def _interval(row: Row, column: str) -> str:
    if not row.get(column):
        return ""
    low, high = float(row[f"{column}_low"]), float(row[f"{column}_high"])
    return f"{float(row[column]):.3f} [{low:.3f}, {high:.3f}]"


def _verdict(row: Row, column: str, bound: float) -> str:
    if not row.get(column):
        return "open"
    if float(row[f"{column}_low"]) <= bound < float(row[f"{column}_high"]):
        return "undecided"
    return verdict(float(row[column]) <= bound)


def _sparse_modules(model: nn.Module) -> dict[str, nn.Module]:
    """The layers that the papers make sparse, by name."""
    names = [name.rpartition(".")[0] for name in dsr.models.sparse_layers(model)]
    return {name: model.get_submodule(name) for name in names}


def _shape(net: str, device: torch.device, batch: int | None, image: int | None) -> tuple[int, int]:
    setting = SETTINGS[net]
    own = CPU_SHAPES[net] if device.type == "cpu" else (setting.batch, setting.image)
    return batch or own[0], image or own[1]


def _write(rows: Sequence[Row], out: Path) -> None:
    with (out / CSV).open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
