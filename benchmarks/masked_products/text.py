"""The sweeps of the masked products in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from benchmarks.markdown import NET_NAMES, NOT_MEASURED, Row, duration, table
from benchmarks.masked_products.places import NETS

COLUMNS = ("net", "shape", "rows", "sparsity", "structure", "provider", "chosen", "both_of_dense")
DENSE = "pre-masked dense"
CHOSEN = "**ours**"
PACKED = "dsr packed_linear"
ALREADY = "dsr (library), weight masked already"
# Column heads of the ways; what a way of the library's is called in the tables.
HEADS = {
    CHOSEN: CHOSEN,
    ALREADY: "ours, masked already",
    PACKED: "packed",
    "w * mask": "w * mask",
    "torch.compile of w * mask": "compiled",
    "torch.sparse CSR": "CSR",
    "torch.sparse BSR": "BSR",
    "2:4, half of the weights": "2:4",
}
# Least speed beside pre-masked dense: provider, structure, sparsity, rows, of dense.
TARGETS = (
    (CHOSEN, "unstructured", "0.9", 8192, 0.97),
    (CHOSEN, "tiles", "0.9", 8192, 4.0),
    (PACKED, "unstructured", "0.9", 2048, 0.86),
    (PACKED, "unstructured", "0.9", 8192, 0.95),
)
Place = tuple[str, ...]


def linear_text(rows: Sequence[Row]) -> str:
    """One line a place of the linear layers: dense time, and every way's speed beside it."""
    if not rows:
        return NOT_MEASURED
    lines = []
    for key, ways in _places(rows).items():
        net, shape, count, sparsity, structure = key
        route = next((row["route"] for row in ways.values() if row["chosen"]), "")
        start = [f"{NET_NAMES.get(net, net)}, {shape}", count, sparsity, structure, route]
        lines.append([*start, _dense_time(ways), *(_cell(ways.get(way)) for way in HEADS)])
    head = ["layer", "rows", "sparsity", "zeros", "route", "dense", *HEADS.values()]
    return "\n\n".join(
        part for part in (table(head, lines), _targets_text(rows), _errors_text(rows)) if part
    )


def convolutions_text(rows: Sequence[Row]) -> str:
    """One line a net, sparsity and structure: all shapes together, and the worst for ours."""
    if not rows:
        return NOT_MEASURED
    groups: dict[Place, list[dict[str, Row]]] = {}
    for key, ways in _places(rows).items():
        groups.setdefault((key[0], *key[3:]), []).append(ways)
    lines = []
    for (net, sparsity, structure), places in groups.items():
        found = [way for way in HEADS if any(way in ways for ways in places)]
        cells = {way: _together(places, way) for way in found}
        ours = min((ways[CHOSEN] for ways in places), key=_number)
        lines.append(
            [
                *(NET_NAMES.get(net, net), sparsity, structure, str(len(places))),
                duration(str(sum(_microseconds(ways) for ways in places))),
                *(cells.get(way, "") for way in _conv_ways()),
                f"{_number(ours):.3g}: {ours['shape']}",
            ]
        )
    head = ["net", "sparsity", "zeros", "shapes", "dense", *(HEADS[way] for way in _conv_ways())]
    parts = (table([*head, "ours at its worst"], lines), _errors_text(rows))
    return "\n\n".join(part for part in parts if part)


def _conv_ways() -> list[str]:
    return [CHOSEN, ALREADY, "w * mask", "torch.compile of w * mask"]


def _places(rows: Iterable[Row]) -> dict[Place, dict[str, Row]]:
    """Rows by place, then by way; ours is the route that is taken there.

    Of structures only sparsity .9 is told; the CSV files hold the others.
    """
    found: dict[Place, dict[str, Row]] = {}
    for row in rows:
        if row["structure"] != "unstructured" and row["sparsity"] != "0.9":
            continue
        key = tuple(row[name] for name in COLUMNS[:5])
        found.setdefault(key, {})[CHOSEN if row["chosen"] else row["provider"]] = row
    return {key: found[key] for key in sorted(found, key=_order)}


def _order(key: Place) -> tuple[object, ...]:
    net, shape, rows, sparsity, structure = key
    return (
        NETS.index(net),
        structure != "unstructured",
        structure,
        float(sparsity),
        shape,
        int(rows),
    )


def _microseconds(ways: dict[str, Row]) -> float:
    return float(ways[DENSE].get("both_us") or 0)


def _dense_time(ways: dict[str, Row]) -> str:
    return duration(ways[DENSE].get("both_us") or "")


def _number(row: Row | None) -> float:
    """Speed beside dense, forward and backward together; not a number where it could not run."""
    return float(row["both_of_dense"] or math.nan) if row else math.nan


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    return "-" if row["error"] else f"{_number(row):.3g}"


def _together(places: Sequence[dict[str, Row]], way: str) -> str:
    """Dense time of all shapes over that of a way."""
    pairs = [(_microseconds(ways), _number(ways.get(way))) for ways in places]
    if any(math.isnan(ratio) for _, ratio in pairs):
        return "-"
    return f"{sum(dense for dense, _ in pairs) / sum(dense / ratio for dense, ratio in pairs):.3g}"


def _targets_text(rows: Sequence[Row]) -> str:
    """What is asked of bfloat16 and float16 on a GPU, at the largest weight of the transformer."""
    if not any(row.get("host_us") for row in rows):
        return ""
    found = []
    for provider, structure, sparsity, count, least in TARGETS:
        for key, ways in _places(rows).items():
            if (key[0], *key[2:]) != ("transformer", str(count), sparsity, structure):
                continue
            value = _number(ways.get(provider))
            name = "packed" if provider == PACKED else "ours"
            verdict = "met" if value >= least else "missed"
            found.append(
                f"{name}, {key[1]}, {structure}, {count} rows: {least:g}, reached {value:.3g}: "
                f"**{verdict}**"
            )
    return f"Asked: {'; '.join(found)}." if found else ""


def _errors_text(rows: Sequence[Row]) -> str:
    """Each reason why a way could not run, once."""
    reasons = dict.fromkeys((row["provider"], row["error"]) for row in rows if row["error"])
    lines = [f"- {provider}: {error}" for provider, error in reasons]
    return "\n".join(["Could not run (-):\n", *lines]) if lines else ""
