"""The sweeps of the masked products in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from benchmarks.entries import Row, duration, verdict
from benchmarks.markdown import NET_NAMES, NOT_MEASURED, table
from benchmarks.masked_products.places import NETS

PLACE = ("net", "shape", "rows", "sparsity", "structure", "dtype")
COLUMNS = (*PLACE, "provider", "chosen", "both_of_dense")
DENSE = "pre-masked dense"
CHOSEN = "**ours**"
TRITON = "dsr (triton)"
TILES = "dsr (triton-tiles)"
PACKED = "dsr packed_linear"
ALREADY = "dsr (library), weight masked already"
# Column heads of the ways; what a way of the library's is called in the tables.
HEADS = {
    CHOSEN: CHOSEN,
    ALREADY: "ours, masked already",
    TRITON: "triton, not chosen",
    TILES: "triton-tiles, not chosen",
    PACKED: "packed",
    "w * mask": "w * mask",
    "torch.compile of w * mask": "compiled",
    "torch.sparse CSR": "CSR",
    "torch.sparse BSR": "BSR",
    "2:4, half of the weights": "2:4",
}
NAMES = {CHOSEN: "ours", TRITON: "fused Triton", PACKED: "packed", ALREADY: "masked already"}
# Least speed beside pre-masked dense: provider, structure, sparsity, rows, of dense.
TARGETS = (
    (CHOSEN, "unstructured", "0.9", 8192, 0.97),
    (TRITON, "unstructured", "0.9", 8192, 0.85),
    (CHOSEN, "tiles", "0.9", 8192, 4.0),
    (PACKED, "unstructured", "0.9", 2048, 0.86),
    (PACKED, "unstructured", "0.9", 8192, 0.95),
)
# All convolutions of a net together, at sparsity .9 without structure. Weights are zero and
# gradients masked once in a whole step, so that "masked already" is the nearer to it.
CONVOLUTIONS_TARGET = (ALREADY, 0.98)
Place = tuple[str, ...]


def linear_text(rows: Sequence[Row]) -> str:
    """One line a place of the linear layers: dense time, and every way's speed beside it."""
    if not rows:
        return NOT_MEASURED
    places = _places(rows)
    heads = _heads(places, list(HEADS))
    dtypes = _has_several_dtypes(places)
    lines = []
    for (net, shape, *numbers, dtype), ways in places.items():
        route = next((row["route"] for row in ways.values() if row["chosen"]), "")
        start = [f"{NET_NAMES.get(net, net)}, {shape}", *numbers, *([dtype] if dtypes else [])]
        lines.append([*start, route, _dense_time(ways), *(_cell(ways, way) for way in heads)])
    head = ["layer", "rows", "sparsity", "zeros", *(["dtype"] if dtypes else []), "route", "dense"]
    text = table([*head, *(HEADS[way] for way in heads)], lines)
    return "\n\n".join(part for part in (text, _targets_text(rows), _errors_text(rows)) if part)


def convolutions_text(rows: Sequence[Row]) -> str:
    """One line a net, sparsity and structure: all shapes together, and the worst for ours."""
    if not rows:
        return NOT_MEASURED
    all_places = _places(rows)
    heads = _heads(all_places, [way for way in HEADS if way in CONV_WAYS])
    dtypes = _has_several_dtypes(all_places)
    lines = []
    for (net, sparsity, structure, dtype), places in _by_net(all_places).items():
        ours = min((ways[CHOSEN] for ways in places), key=_number)
        lines.append(
            [
                *(NET_NAMES.get(net, net), sparsity, structure, *([dtype] if dtypes else [])),
                str(len(places)),
                duration(str(sum(_microseconds(ways) for ways in places))),
                *(_together(places, way) for way in heads),
                f"{_number(ours):.3g}: {ours['shape']}",
            ]
        )
    head = ["net", "sparsity", "zeros", *(["dtype"] if dtypes else []), "shapes", "dense"]
    text = table([*head, *(HEADS[way] for way in heads), "ours at its worst"], lines)
    parts = (text, _convolutions_targets_text(rows), _errors_text(rows))
    return "\n\n".join(part for part in parts if part)


def _by_net(places: dict[Place, dict[str, Row]]) -> dict[Place, list[dict[str, Row]]]:
    """Places by net, sparsity, structure and dtype."""
    groups: dict[Place, list[dict[str, Row]]] = {}
    for key, ways in places.items():
        groups.setdefault((key[0], *key[3:]), []).append(ways)
    return groups


def _heads(places: dict[Place, dict[str, Row]], ways: list[str]) -> list[str]:
    """The ways to have a column; our routes that are not chosen only where there are some."""
    return [
        way
        for way in ways
        if way not in (TRITON, TILES) or any(_beside(found, way) for found in places.values())
    ]


def _beside(ways: dict[str, Row], way: str) -> Row | None:
    """The row of a way; of our routes only where it is not the chosen one."""
    row = ways.get(way)
    return None if row is None or (way in (TRITON, TILES) and row["chosen"]) else row


def _has_several_dtypes(places: Iterable[Place]) -> bool:
    return len({key[-1] for key in places}) > 1


CONV_WAYS = (CHOSEN, ALREADY, TRITON, TILES, "w * mask", "torch.compile of w * mask")


def _places(rows: Iterable[Row]) -> dict[Place, dict[str, Row]]:
    """Rows by place, then by way; ours is the route that is taken there, under both names.

    Of structures only sparsity .9 is told; the CSV files hold the others. Of rows that were
    appended for the same place the last count.
    """
    found: dict[Place, dict[str, Row]] = {}
    for row in rows:
        if row["structure"] != "unstructured" and row["sparsity"] != "0.9":
            continue
        ways = found.setdefault(tuple(row[name] for name in PLACE), {})
        ways[row["provider"]] = row
        if row["chosen"]:
            ways[CHOSEN] = row
    return {key: found[key] for key in sorted(found, key=_order)}


def _order(key: Place) -> tuple[object, ...]:
    net, shape, rows, sparsity, structure, dtype = key
    return (
        NETS.index(net),
        dtype,
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


def _cell(ways: dict[str, Row], way: str) -> str:
    row = _beside(ways, way)
    if row is None:
        return ""
    return "-" if row["error"] else f"{_number(row):.3g}"


def _together(places: Sequence[dict[str, Row]], way: str) -> str:
    """Dense time of all shapes over that of a way, as a table shows it."""
    if not any(_beside(ways, way) for ways in places):
        return ""
    speed = _speed(places, way)
    return "-" if math.isnan(speed) else f"{speed:.3g}"


def _speed(places: Sequence[dict[str, Row]], way: str) -> float:
    """Dense time of all shapes over that of a way; not a number where one could not run."""
    pairs = [(_microseconds(ways), _number(ways.get(way))) for ways in places]
    return sum(dense for dense, _ in pairs) / sum(dense / ratio for dense, ratio in pairs)


def _targets_text(rows: Sequence[Row]) -> str:
    """What is asked on a GPU, at the linear layers of the transformer."""
    if not any(row.get("host_us") for row in rows):
        return ""
    found = []
    for provider, structure, sparsity, count, least in TARGETS:
        asked = ("transformer", str(count), sparsity, structure)
        there = [item for item in _places(rows).items() if (item[0][0], *item[0][2:5]) == asked]
        place = f"{structure}, {count} rows"
        for key, ways in there:
            where = f"{NAMES[provider]}, {key[1]}, {place}, {key[5]}"
            found.append(_verdict(where, least, _number(ways.get(provider))))
        if not there:
            found.append(_verdict(f"{NAMES[provider]}, {place}", least, math.nan))
    return f"Asked: {'; '.join(found)}." if found else ""


def _convolutions_targets_text(rows: Sequence[Row]) -> str:
    """What is asked of the convolutions of a net on a GPU; of a whole step Table 3 tells."""
    if not any(row.get("host_us") for row in rows):
        return ""
    provider, least = CONVOLUTIONS_TARGET
    found = []
    for (net, *place, dtype), places in _by_net(_places(rows)).items():
        if place == ["0.9", "unstructured"]:
            where = f"{NAMES[provider]}, {NET_NAMES.get(net, net)}, {dtype}"
            found.append(_verdict(where, least, _speed(places, provider)))
    return f"Asked: {'; '.join(found)}." if found else ""


def _verdict(where: str, least: float, value: float) -> str:
    if math.isnan(value):
        return f"{where}: {least:g}, **not measured**"
    return f"{where}: {least:g}, reached {value:.3g}: **{verdict(value >= least)}**"


def _errors_text(rows: Sequence[Row]) -> str:
    """Each reason why a way could not run, once."""
    reasons = dict.fromkeys((row["provider"], row["error"]) for row in rows if row["error"])
    lines = [f"- {provider}: {error}" for provider, error in reasons]
    return "\n".join(["Could not run (-):\n", *lines]) if lines else ""
