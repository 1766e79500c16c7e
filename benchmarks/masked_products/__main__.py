"""Times the masked products beside pre-masked dense and what people use today.

Forward and backward of single layers: linear layers of a transformer and of classifiers, and every
shape of convolution of WRN-28-2, WRN-16-8 and ResNet-50. One axis is varied at a time: rows,
sparsity with structure, layers; --all takes every combination. On a CPU the transformer is narrower
and the rows and images are fewer. These are no part of `benchmarks.run` and `make bench`.
"""

from __future__ import annotations

import csv
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.masked_products.layer import Layer, build
from benchmarks.masked_products.places import (
    NETS,
    ROWS,
    SPARSITIES,
    STRUCTURES,
    Place,
    places,
)
from benchmarks.masked_products.timed import Timed, time_ways
from benchmarks.masked_products.ways import Steps, Way, ways_of
from benchmarks.report import write_machine
from benchmarks.run import DEVICES, Parser, check_headers, make_folder, names_of

OPS = ("masked_linear", "masked_conv2d")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
DEFAULT_DTYPE = {"cpu": "float32", "cuda": "bfloat16"}
MACHINE = "masked_products_machine.json"
PARTS = ("forward", "backward", "both")
COLUMNS = (
    "op", "net", "shape", "rows", "sparsity", "structure", "dtype", "provider", "kind", "route",
    "chosen", "calls", "forward_us", "backward_us", "both_us", "both_iqr_us", "host_us",
    "forward_of_dense", "backward_of_dense", "both_of_dense", "error",
)  # fmt: skip
Row = dict[str, Any]


@dataclass(frozen=True)
class Sweep:
    """What the command line asks for, checked."""

    device: torch.device
    dtype: torch.dtype
    ops: list[str]
    nets: list[str]
    rows: list[int]
    sparsities: list[float]
    structures: list[str]
    everything: bool
    seconds: float
    minutes: float


def csv_name(op: str) -> str:
    """The file of an op's rows."""
    return f"{op}_sweep.csv"


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    sweep, out, append = _parse(arguments)
    warnings.filterwarnings("ignore", message="Sparse .* (beta|checks)|.*prototype stage")
    started = time.monotonic()
    if out is not None:
        command = f"python -m benchmarks.masked_products {' '.join(arguments)}"
        write_machine(out, sweep.device, command, MACHINE, append)
    for number, op in enumerate(sweep.ops, 1):
        deadline = started + 60 * sweep.minutes * number / len(sweep.ops)
        goes_on = append
        for rows in _time(sweep, op, deadline):
            if out is not None:  # at once: a run that is cut off has left what it measured
                _write(rows, out, op, goes_on)
            goes_on = True
    return 0


def _parse(arguments: list[str]) -> tuple[Sweep, Path | None, bool]:
    parser = Parser(prog="benchmarks.masked_products", description=__doc__)
    row_texts = {name: ",".join(map(str, counts)) for name, counts in ROWS.items()}
    parser.add_argument("--device", default="cpu", help=" or ".join(DEVICES))
    parser.add_argument("--ops", default=",".join(OPS), help="of %(default)s")
    parser.add_argument("--nets", default=",".join(NETS), help="of %(default)s")
    parser.add_argument("--rows", help=f"of linear layers; {_defaults(row_texts)}")
    parser.add_argument("--sparsity", default=",".join(map(str, SPARSITIES)), help="%(default)s")
    parser.add_argument("--structures", default=",".join(STRUCTURES), help="of %(default)s")
    parser.add_argument("--dtype", help=f"one of {', '.join(DTYPES)}; {_defaults(DEFAULT_DTYPE)}")
    parser.add_argument("--all", action="store_true", help="every combination")
    parser.add_argument("--seconds", type=float, default=0.05, help="a way at a place, %(default)s")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="then no place begins")
    parser.add_argument("--out", type=Path, help=f"folder for a CSV file an op and {MACHINE}")
    parser.add_argument("--append", action="store_true", help="to the CSV files that are there")
    options = parser.parse_args(arguments)
    if options.device not in DEVICES:
        parser.error(f"--device: expected {' or '.join(DEVICES)}, got {options.device!r}")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: torch sees no CUDA device")
    rows = options.rows or row_texts[options.device]
    dtype = options.dtype or DEFAULT_DTYPE[options.device]
    if dtype not in DTYPES:
        parser.error(f"--dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    try:
        for name in ("seconds", "minutes"):
            if not getattr(options, name) > 0:
                given = getattr(options, name)
                raise ValueError(f"--{name}: expected a number above 0, got {given}")
        sweep = Sweep(
            device=torch.device(options.device),
            dtype=DTYPES[dtype],
            ops=names_of(options.ops, OPS, "--ops"),
            nets=names_of(options.nets, NETS, "--nets"),
            rows=[int(n) for n in _numbers(rows, "--rows", int, 1, 10**7)],
            sparsities=_numbers(options.sparsity, "--sparsity", float, 0.0, 0.9999),
            structures=names_of(options.structures, STRUCTURES, "--structures"),
            everything=options.all,
            seconds=options.seconds,
            minutes=options.minutes,
        )
    except ValueError as error:
        parser.error(str(error))
    make_folder(parser, options.out)
    if options.append and options.out is not None:
        check_headers(parser, [options.out / csv_name(op) for op in sweep.ops], COLUMNS)
    return sweep, options.out, options.append


def _defaults(of_device: dict[str, str]) -> str:
    return f"default: {'; '.join(f'{text} on {name}' for name, text in of_device.items())}"


def _numbers(text: str, option: str, kind: type, least: float, most: float) -> list[float]:
    try:
        values = [kind(part) for part in text.split(",")]
    except ValueError:
        values = [-1]
    if not all(least <= value <= most for value in values):
        raise ValueError(
            f"{option}: expected {kind.__name__}s of {least} to {most} with commas, got {text!r}"
        )
    return list(dict.fromkeys(values))


def _time(sweep: Sweep, op: str, deadline: float) -> Iterator[list[Row]]:
    """The rows of each place, as they are measured."""
    todo = list(
        places(
            sweep.device.type,
            op,
            sweep.nets,
            sweep.rows,
            sweep.sparsities,
            sweep.structures,
            everything=sweep.everything,
        )
    )
    for number, place in enumerate(todo):
        if time.monotonic() > deadline:
            print(f"{op}: out of time, {len(todo) - number} of {len(todo)} places left out")
            break
        rows = rows_at(place, sweep)
        _print(rows)
        yield rows


def rows_at(place: Place, sweep: Sweep) -> list[Row]:
    """One row a way; pre-masked dense is the last."""
    layer = build(place, sweep.dtype, sweep.device)
    pairs = [(way, _prepared(way, layer)) for way in ways_of(layer)]
    timed = time_ways(pairs, sweep.seconds, sweep.device)
    dense = timed[-1].fields()
    return [_row(place, sweep, one, dense) for one in timed]


def _prepared(way: Way, layer: Layer) -> Steps | Exception:
    try:
        return way.build(layer)
    except Exception as error:  # becomes its row
        return error


def _row(place: Place, sweep: Sweep, timed: Timed, dense: Row) -> Row:
    way = timed.way
    row: Row = {
        "op": place.op,
        "net": place.net,
        "shape": place.shape,
        "rows": place.rows,
        "sparsity": place.sparsity,
        "structure": place.structure,
        "dtype": str(sweep.dtype).removeprefix("torch."),
        "provider": way.name,
        "kind": way.kind,
        "route": way.route,
        "chosen": "yes" if way.chosen else "",
        **timed.fields(),
    }
    for part in PARTS:
        ours, theirs = row.get(f"{part}_us"), dense.get(f"{part}_us")
        if ours and theirs:
            row[f"{part}_of_dense"] = float(f"{theirs / ours:.4g}")
    return row


def _print(rows: Sequence[Row]) -> None:
    first = rows[0]
    unit = "rows" if first["op"] == OPS[0] else "images"
    print(
        f"\n{first['op']}: {first['net']}, {first['shape']}, {first['rows']} {unit}, sparsity "
        f"{first['sparsity']} {first['structure']}, {first['dtype']}"
    )
    print(f"  {'':<40}{'forward ms':>11}{'backward':>10}{'both':>10}{'of dense':>10}")
    for row in rows:
        name = row["provider"] + (" *" if row["chosen"] else "")
        if row["error"]:
            print(f"  {name:<40}cannot run: {row['error']}")
            continue
        times = [row[f"{part}_us"] / 1e3 for part in PARTS]
        ratio = row.get("both_of_dense", "")
        print(f"  {name:<40}{times[0]:>11.3f}{times[1]:>10.3f}{times[2]:>10.3f}{ratio:>10}")
    sys.stdout.flush()


def _write(rows: Sequence[Row], out: Path, op: str, append: bool) -> None:
    path = out / csv_name(op)
    append = append and path.exists()
    with path.open("a" if append else "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if not append:
            writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
