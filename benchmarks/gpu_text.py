"""Tables of a GPU's results in Markdown: each time in graph replay, and as the host calls it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchmarks.entries import Row, cell, digits, duration, limit
from benchmarks.gpu_targets import best, device_us
from benchmarks.markdown import NAMED, find, label_of, shown, table, table_cases

UNVERIFIED = "Unverified on GPU"
LIMIT = "{of_copy:.2g} of the {speed:.4g} GB/s of the copy."


def gpu_op_text(op: str, rows: Sequence[Row]) -> str:
    """All providers of one op, a column a net at sparsity .9 in float32."""
    cases = table_cases(rows)
    if not cases:
        return f"{UNVERIFIED}: `{op}` has not been measured on this one."
    lines = []
    for provider in dict.fromkeys(row["provider"] for case in cases.values() for row in case):
        cells = [
            cell(find(case, provider), _pair, partial(_times, case=case)) for case in cases.values()
        ]
        lines.append([shown(provider), *cells])
    head = ["replayed / called, and times ours", *(label_of(key, cases) for key in cases)]
    limits = [
        limit(label_of(key, cases), best(case, "ours"), best(case, "copy"), device_us, LIMIT)
        for key, case in cases.items()
    ]
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


def _times(row: Row, case: Sequence[Row]) -> str:
    times = []
    for field in ("graph_us", "median_us"):
        own = [float(r[field]) for r in case if r["kind"] == "ours" and r.get(field)]
        known = own and row.get(field)
        times.append(f"{digits(float(row[field]) / min(own))}x" if known else "-")
    return " / ".join(times)
