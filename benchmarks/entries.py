"""How an entry of a result table is written: a time, a ratio, a verdict, a distance."""

from __future__ import annotations

from collections.abc import Callable

Row = dict[str, str]


def cell(row: Row | None, taken: Callable[[Row], str], times: Callable[[Row], str]) -> str:
    """What a provider took and how many times ours that is, or why it could not run.

    Args:
        row: of the provider; None where it was not asked.
        taken: the time, in words.
        times: how many times ours, in words; not asked for ours and for a copy.
    """
    if row is None:
        return ""
    if row["error"]:
        return f"cannot run: {row['error']}"
    beside = "" if row["kind"] in ("ours", "copy") else times(row)
    return f"{taken(row)} ({beside})" if beside else taken(row)


def limit(
    label: str, ours: Row | None, copy: Row | None, taken_us: Callable[[Row], float], words: str
) -> str:
    """How far ours is from the speed of a copy; nothing where there is none to compare with.

    Args:
        label: of the case.
        ours, copy: their rows.
        taken_us: the time of a row, of which the copy's counts.
        words: may name ``of_copy``, the ``speed`` of the copy in GB/s, and the ``shortest`` time.
    """
    if ours is None or copy is None or not ours["of_copy"]:
        return ""
    of_copy = float(ours["of_copy"])
    shortest = duration(str(float(ours["median_us"]) * of_copy))
    speed = int(copy["bytes"]) / taken_us(copy) / 1e3
    found = words.format(of_copy=of_copy, speed=speed, shortest=shortest)
    return f"{label}: {int(ours['bytes']) / 1e6:.4g} MB must move, {found}"


def verdict(met: bool) -> str:
    """Whether a target was reached, in a word."""
    return "met" if met else "missed"


def duration(microseconds: str) -> str:
    """Three digits with a unit; nothing for no number."""
    value = float(microseconds or 0)
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if value >= size:
            return f"{digits(value / size)} {unit}"
    return f"{digits(value)} us" if value else ""


def digits(value: float) -> str:
    """Three significant digits, never an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
