"""Writes which of two GPU kernels an op prefers: the one that the committed results show faster."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.entries import Row
from benchmarks.markdown import FormatError, read_machine, read_rows
from benchmarks.run import Parser
from dsr_kernels import backend_table
from dsr_kernels.schema import OPS

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results"
TABLE = ROOT / "dsr_kernels/backend_table.py"
NET = "resnet50"
COLUMNS = ("net", "provider", "kind", "graph_us", "error")
BACKENDS = ("cuda", "triton")


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(prog="benchmarks.choose", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args(list(sys.argv[1:] if argv is None else argv))
    try:
        measured = measured_in(options.results)
    except FormatError as error:
        parser.error(str(error))
    start = Path(backend_table.__file__).read_text().partition("FASTER:")[0]
    text = f"{start}FASTER: dict[str, dict[str, tuple[str, float]]] = {measured!r}\n"
    options.table.write_text(text)
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", str(options.table)], check=False)
    print(f"{options.table}: {len(measured)} GPUs")
    return 0


def measured_in(results: Path) -> dict[str, dict[str, tuple[str, float]]]:
    """`faster` of each GPU that has results, by the device's name."""
    machines = [
        path for path in sorted(results.glob("*/machine.json")) if path.parent.name != "cpu"
    ]
    return {str(read_machine(path, ["device"])["device"]): faster(path.parent) for path in machines}


def faster(folder: Path) -> dict[str, tuple[str, float]]:
    """For each op that both kernels were timed on: the faster, and by how much."""
    found = {}
    for op in OPS:
        rows = [row for row in read_rows(folder / f"{op}.csv", COLUMNS) if row["net"] == NET]
        times = {name: time for name in BACKENDS if (time := _graph_us(rows, name)) is not None}
        if len(times) == len(BACKENDS):
            first, second = sorted(times, key=lambda name: times[name])
            found[op] = (first, round(times[second] / times[first], 3))
    return found


def _graph_us(rows: Sequence[Row], backend: str) -> float | None:
    """The median over the cases of one net."""
    own = [row for row in rows if row["provider"] == f"dsr ({backend})" and row["graph_us"]]
    return float(own[0]["graph_us"]) if own else None


if __name__ == "__main__":
    sys.exit(main())
