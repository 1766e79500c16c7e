"""Times training with and without reallocation, for Table 3 of the DSR paper.

Each row trains three copies of a network on synthetic images in turns, block by block: with one
reallocation a block, without any, and dense. On a CPU images, batches and blocks are fewer.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.markdown import FormatError, read_machine, read_rows
from benchmarks.report import write_machine
from benchmarks.run import DEVICES, Parser, make_folder, names_of, positive
from benchmarks.table3.measure import Row, measure
from benchmarks.table3.methods import METHODS, PAPER, SETTINGS
from benchmarks.table3.training import IMPLEMENTATIONS, runs

CSV = "table3.csv"
MACHINE = "table3_machine.json"
PICTURE = "table3.png"
KEY = ("net", "method", "implementation")
CUT_OFF = "cut off before it had ended"
COLUMNS = (
    "net", "image", "batch", "method", "implementation", "blocks", "steps", "period",
    "step_ms", "of_dense", "of_dense_low", "of_dense_high",
    "ratio", "ratio_low", "ratio_high", "reallocation_ms", "overhead",
    "paper_ratio", "paper_spread", "peak_mib", "dense_peak_mib", "error",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.device not in DEVICES:
        parser.error(f"--device: expected {' or '.join(DEVICES)}, got {options.device!r}")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: torch sees no CUDA device")
    try:
        nets = names_of(options.nets, SETTINGS, "--nets")
        methods = names_of(options.methods, METHODS, "--methods")
        implementations = names_of(options.implementations, IMPLEMENTATIONS, "--implementations")
    except ValueError as error:
        parser.error(str(error))
    make_folder(parser, options.out)
    device = torch.device(options.device)
    if device.type == "cpu":
        print("on a CPU: smaller batches and images, fewer blocks; the ratios hold for these")
    blocks = options.blocks or (5 if device.type == "cpu" else 25)
    steps = options.steps or (4 if device.type == "cpu" else 20)
    try:
        rows = _rows_there(options.out) if options.append and options.out else []
    except FormatError as error:
        parser.error(f"--append: {error}")
    if options.out is not None:
        command = f"python -m benchmarks.table3 {' '.join(arguments)}"
        write_machine(options.out, device, command, MACHINE, options.append)
    for key in itertools.product(nets, methods, implementations):
        if not runs(key[2], key[1]):
            continue
        row = _start(*key, device, blocks, steps)
        rows = [old for old in rows if tuple(old[name] for name in KEY) != key]
        if options.out is not None:  # what is cut off meanwhile says so, and has left its rows
            _write([*rows, row | {"error": CUT_OFF}], options.out)
        rows.append(_run(row, device, options.seconds))
        print(_line(rows[-1]), flush=True)
        if options.out is not None:
            _write(rows, options.out)
    if options.out is not None:
        _draw(rows, options.out)
    return 0


def _parser() -> Parser:
    parser = Parser(prog="benchmarks.table3", description=__doc__)
    parser.add_argument("--device", default="cpu", help=" or ".join(DEVICES))
    parser.add_argument("--nets", default=",".join(SETTINGS), help="of %(default)s")
    parser.add_argument("--methods", default=",".join(METHODS), help="of %(default)s")
    parser.add_argument(
        "--implementations", default=",".join(IMPLEMENTATIONS), help="of %(default)s"
    )
    parser.add_argument("--blocks", type=_count(2), help="default: 25; on a CPU 5")
    parser.add_argument("--steps", type=_count(1), help="a block, default: 20; on a CPU 4")
    more = "a row takes, about, with fewer blocks, but at least two; default: no limit"
    parser.add_argument("--seconds", type=positive, help=more)
    parser.add_argument("--out", type=Path, help=f"folder for {CSV}, {MACHINE} and {PICTURE}")
    parser.add_argument(
        "--append",
        action="store_true",
        help="to the CSV file that is there; a row again replaces it",
    )
    return parser


def _rows_there(out: Path) -> list[Row]:
    """The rows to append to.

    Raises:
        FormatError: they, or what is said about their machine, are not what this program writes.
    """
    if (out / MACHINE).exists():
        read_machine(out / MACHINE, ["command"])
    return [dict(row) for row in read_rows(out / CSV, COLUMNS)]


def _start(
    net: str, method: str, implementation: str, device: torch.device, blocks: int, steps: int
) -> Row:
    """What is known of a row before it is measured."""
    setting = SETTINGS[net]
    small = device.type == "cpu"
    row: Row = {
        "net": net,
        "image": setting.cpu_image if small else setting.image,
        "batch": setting.cpu_batch if small else setting.batch,
        "method": method,
        "implementation": implementation,
        "blocks": blocks,
        "steps": steps,
        "period": setting.periods[method],
    }
    row["paper_ratio"], row["paper_spread"] = PAPER.get((net, method), ("", ""))
    return row


def _run(row: Row, device: torch.device, seconds: float | None) -> Row:
    """The row with what was measured, or with the reason why nothing was."""
    method, implementation = row["method"], row["implementation"]
    blocks, steps = row["blocks"], row["steps"]
    try:
        return row | measure(
            SETTINGS[row["net"]], method, implementation, device, blocks, steps, seconds
        )
    except Exception as error:  # a baseline that cannot run is a row that says so
        return row | {"error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}


def _line(row: Row) -> str:
    name = f"{row['net']:<10}{row['method']:<17}{row['implementation']:<12}"
    if row.get("error"):
        return f"{name}cannot run: {row['error']}"
    alone = row.get("reallocation_ms")
    return (
        f"{name}step {row['step_ms']:9.2f} ms, {row['of_dense']:.3f} of dense; with reallocation "
        f"x {row['ratio']:.5f} [{row['ratio_low']:.5f}, {row['ratio_high']:.5f}]"
        + ("" if alone is None else f"; alone {alone:.3f} ms, {row['overhead']:.2e} of training")
        + (f"; paper {row['paper_ratio']}" if row["paper_ratio"] else "")
    )


def _write(rows: list[Row], out: Path) -> None:
    part = out / f"{CSV}.part"
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    part.replace(out / CSV)  # so that a run that is stopped meanwhile loses no row


def _draw(rows: list[Row], out: Path) -> None:
    try:
        from benchmarks.table3.picture import plot_table3
    except ImportError as error:
        print(f"no picture: {error}")
        return
    plot_table3(rows, out / PICTURE)


def _count(least: int) -> Any:
    def parse(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"expected an int of at least {least}, got {text!r}")
        return value

    return parse


if __name__ == "__main__":
    sys.exit(main())
