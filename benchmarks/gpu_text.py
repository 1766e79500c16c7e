"""Tables of a GPU's results in Markdown: each time in graph replay, and as the host calls it."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.gpu_targets import best, device_us
from benchmarks.markdown import (
    NAMED,
    Row,
    digits,
    duration,
    find,
    label_of,
    shown,
    table,
    table_cases,
)

UNVERIFIED = "Unverified on GPU"


def gpu_op_text(op: str, rows: Sequence[Row]) -> str:
    """All providers of one op, a column a net at sparsity .9 in float32."""
    cases = table_cases(rows)
    if not cases:
        return f"{UNVERIFIED}: `{op}` has not been measured on this one."
    lines = []
    for provider in dict.fromkeys(row["provider"] for case in cases.values() for row in case):
        cells = [_cell(find(case, provider), case) for case in cases.values()]
        lines.append([shown(provider), *cells])
    head = ["replayed / called, and times ours", *(label_of(key, cases) for key in cases)]
    limits = [_limit(label_of(key, cases), case) for key, case in cases.items()]
    return "\n\n".join(
        part for part in (table(head, lines), " ".join(filter(None, limits))) if part
    )


def gpu_summary_text(ops: dict[str, list[Row]]) -> str:
    """One line an op: its replay on ResNet-50, its best rivals, its distance from the limit."""
    lines = []
    for op, rows in ops.items():
        case = table_cases(rows).get(NAMED, [])
        ours = best(case, "ours", replayed=True) or best(case, "ours")
        if ours is None:
            continue
        rivals = [best(case, kind) for kind in ("eager", "compiled", "authors")]
        lines.append(
            [
                f"`{op}`",
                shown(ours["provider"]),
                _pair(ours),
                *(f"{digits(device_us(r) / device_us(ours))}x" if r else "" for r in rivals),
                ours["of_copy"] and f"{float(ours['of_copy']):.2g}",
            ]
        )
    head = ["op on ResNet-50", "by", "replayed / called", "eager", "compiled", "authors' way"]
    return table([*head, "of copy"], lines, left=2) if lines else f"{UNVERIFIED}."


def _pair(row: Row) -> str:
    return f"{duration(row.get('graph_us') or '') or '-'} / {duration(row['median_us'])}"


def _cell(row: Row | None, case: Sequence[Row]) -> str:
    if row is None:
        return ""
    if row["error"]:
        return f"cannot run: {row['error']}"
    if row["kind"] in ("ours", "copy"):
        return _pair(row)
    times = []
    for field in ("graph_us", "median_us"):
        own = [float(r[field]) for r in case if r["kind"] == "ours" and r.get(field)]
        known = own and row.get(field)
        times.append(f"{digits(float(row[field]) / min(own))}x" if known else "-")
    return f"{_pair(row)} ({' / '.join(times)})"


def _limit(label: str, case: Sequence[Row]) -> str:
    ours, copy = best(case, "ours"), best(case, "copy")
    if ours is None or copy is None or not ours["of_copy"]:
        return ""
    speed = int(copy["bytes"]) / device_us(copy) / 1e3
    return (
        f"{label}: {int(ours['bytes']) / 1e6:.4g} MB must move, {float(ours['of_copy']):.2g} of "
        f"the {speed:.4g} GB/s of the copy."
    )
