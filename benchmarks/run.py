"""Times ops beside what people use today and prints a table a case."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import torch

from benchmarks.registry import DEFAULT, OPS, PRODUCTS
from benchmarks.report import COLUMNS, Row, print_rows, rows_of, write_csv, write_machine
from benchmarks.shapes import CPU_NETS, DTYPES, GPU_NETS, NETS, Net, net
from benchmarks.timing import said_by, time_case

PICTURE = "times.png"
DEVICES = ("cpu", "cuda")


def make_folder(parser: argparse.ArgumentParser, out: Path | None) -> None:
    """Make the folder for results before anything is measured, or end with one line."""
    if out is None:
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out: {error}")


class Parser(argparse.ArgumentParser):
    """A wrong argument gives one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = Parser(prog="benchmarks.run", description=__doc__)
    parser.add_argument("--device", default="cpu", help=" or ".join(DEVICES))
    more = f"also {', '.join(PRODUCTS)}, which take minutes more"
    parser.add_argument("--ops", default=",".join(DEFAULT), help=f"default: %(default)s; {more}")
    parser.add_argument("--nets", help=f"of {','.join(NETS)}; default: {','.join(CPU_NETS)}")
    parser.add_argument("--sparsity", default="0.9", help="one or more, with commas")
    parser.add_argument("--dtype", default="float32", help=f"some of {','.join(DTYPES)}")
    parser.add_argument("--seconds", type=positive, default=0.2, help="spent on each provider")
    parser.add_argument("--out", type=Path, help="folder for CSV files, machine.json and a picture")
    parser.add_argument("--append", action="store_true", help="to the CSV files that are there")
    options = parser.parse_args(arguments)
    if options.device not in DEVICES:
        parser.error(f"--device: expected {' or '.join(DEVICES)}, got {options.device!r}")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: torch sees no CUDA device")
    device = torch.device(options.device)
    nets = options.nets or ",".join(CPU_NETS if device.type == "cpu" else GPU_NETS)
    try:
        ops = names_of(options.ops, OPS, "--ops")
        nets = names_of(nets, NETS, "--nets")
        sparsities = _sparsities(options.sparsity)
        dtypes = [DTYPES[name] for name in names_of(options.dtype, DTYPES, "--dtype")]
    except ValueError as error:
        parser.error(str(error))
    if options.append and options.out is None:
        parser.error("--append: needs --out, the folder to append to")
    make_folder(parser, options.out)
    if options.out is not None:
        if options.append:
            check_headers(parser, [options.out / f"{op}.csv" for op in ops], COLUMNS)
        command = f"python -m benchmarks.run {' '.join(arguments)}"
        write_machine(options.out, device, command, append=options.append)
    shapes = [net(n, dtype) for n in nets for dtype in dtypes]
    rows: list[Row] = []
    for op in ops:
        goes_on = options.append
        for of_case in _time(op, shapes, sparsities, device, options.seconds):
            rows += of_case
            if options.out is not None:  # at once: a run that is cut off has left what it measured
                write_csv(of_case, options.out, goes_on)
            goes_on = True
    if rows and options.out is not None and not options.append:
        _draw(rows, options.out)
    return 0


def check_headers(parser: Parser, paths: Sequence[Path], columns: Sequence[str]) -> None:
    """End with one line if a file is there with other columns than would be appended."""
    for path in paths:
        if not path.exists():
            continue
        with path.open(newline="", errors="replace") as file:
            header = next(csv.reader(file), [])
        if header != list(columns):
            wrong = next((c for c in (*columns, *header) if (c in header) != (c in columns)), "")
            parser.error(f"--append: {path}: its columns differ ({wrong!r}); measure it again")


def _time(
    op: str,
    nets: Sequence[Net],
    sparsities: Sequence[float],
    device: torch.device,
    seconds: float,
) -> Iterator[list[Row]]:
    """The rows of each case of an op, as they are measured."""
    for shapes in nets:
        for sparsity in sparsities:
            try:
                case = OPS[op].build(shapes, sparsity, device)
            except torch.OutOfMemoryError as error:
                print(f"\n{op}: {shapes.name}, sparsity {sparsity}: cannot run: {said_by(error)}")
                continue
            rows = rows_of(case, time_case(case, seconds, device))
            del case  # before the next is built
            print_rows(rows)
            yield rows


def _draw(rows: Sequence[Row], out: Path) -> None:
    try:
        from benchmarks.plot import plot_times
    except ImportError as error:
        print(f"no picture: {error}")
        return
    plot_times(rows, out / PICTURE)


def names_of(text: str, known: Collection[str], option: str) -> list[str]:
    """The names in ``text``, commas between them.

    Raises:
        ValueError: one is not ``known``.
    """
    names = list(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in known:
            raise ValueError(f"{option}: expected some of {', '.join(known)}, got {name!r}")
    return names


def _sparsities(text: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = [-1.0]
    if not all(0 < value < 1 for value in values):  # at 0 there is no place to grow
        raise ValueError(f"--sparsity: expected numbers in (0, 1) with commas, got {text!r}")
    return values


def positive(text: str) -> float:
    """A finite number above 0, for an option."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


if __name__ == "__main__":
    sys.exit(main())
