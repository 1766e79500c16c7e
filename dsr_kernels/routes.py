"""Which way a product with a masked weight goes, and why.

- ``library``: torch's own product, on a weight that is zero where it is inactive; one pass masks
  the gradient of the weight.
- ``triton``: one kernel a product, which masks the weight's tiles as it loads them.
- ``triton-tiles``: the same, over the tiles alone that have an active weight.

What was measured decides (``route_table.py``); where nothing was, a rule, and the reason says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from dsr_kernels.route_table import MEASURED, Measured

CONDITIONS = ("rows", "elements", "dtype", "structure", "device")
STRUCTURES = ("unstructured", "tiles", "channels")
BACKEND_OF = {"library": "library", "triton": "triton", "triton-tiles": "triton"}


@dataclass(frozen=True)
class Route:
    """A route's name, and why it was chosen."""

    name: str
    reason: str


def choose_route(
    op: str,
    *,
    rows: int = 0,
    elements: int = 0,
    dtype: torch.dtype = torch.float32,
    structure: str = "unstructured",
    device: torch.device | str = "cpu",
) -> Route:
    """The route of one call.

    Args:
        op: a product, such as "masked_linear".
        rows: of the input: the product of its leading sizes; for a convolution batch times the
            output's height and width.
        elements: of the weight.
        dtype: of input and weight.
        structure: what the caller says of the zeros: "unstructured", "tiles" (whole tiles are
            inactive) or "channels" (whole rows and columns of the weight are).
        device: where the tensors lie.

    Raises:
        ValueError: ``structure`` is none of these.
    """
    _check_structure(structure)
    device = torch.device(device)
    if op == "packed_linear":
        return Route("library", "the weight is unpacked; the product is torch's own")
    if device.type != "cuda":
        return Route("library", f"on {device.type} the product is torch's own")
    if dtype == torch.float64:
        return Route("library", "the Triton kernels have no float64")
    gpu = _gpu_name(device.index)
    place = (op, str(dtype).removeprefix("torch."), structure)
    nearest = _nearest(gpu, place, rows, elements, MEASURED)
    if nearest is not None:
        return Route(
            nearest.route,
            f"measured on {gpu} at {nearest.rows} rows and {nearest.elements} weights: "
            f"{nearest.speedup:.2f} times pre-masked dense",
        )
    if structure == "unstructured":
        return Route(
            "library", f"unmeasured on {gpu}: dense libraries and one pass over the weight"
        )
    return Route("triton-tiles", f"unmeasured on {gpu}: it leaves out what is wholly inactive")


def preferred(route: Route) -> tuple[str, ...]:
    """Backends for ``choose_backend``, that of the route first."""
    return tuple(dict.fromkeys((BACKEND_OF[route.name], "library")))


def check_conditions(**conditions: Any) -> None:
    """Refuse what ``explain`` cannot make a route of, by name.

    Raises:
        TypeError, ValueError: a condition is not as :func:`choose_route` describes it.
    """
    unknown = sorted(set(conditions) - set(CONDITIONS))
    if unknown:
        raise ValueError(f"{unknown[0]}: expected a condition of {', '.join(CONDITIONS)}")
    for name in ("rows", "elements"):
        value = conditions.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name}: expected an int, got {value!r}")
        if value < 0:
            raise ValueError(f"{name}: expected at least 0, got {value}")
    dtype, device = conditions.get("dtype", torch.float32), conditions.get("device", "cpu")
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype: expected a torch.dtype, got {dtype!r}")
    if not isinstance(device, (str, torch.device)):
        raise TypeError(f"device: expected a torch.device or its name, got {device!r}")
    try:
        torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device: expected a torch.device or its name, got {device!r}") from error
    _check_structure(conditions.get("structure", STRUCTURES[0]))


def forced_route(backend: str, structure: str = "unstructured") -> Route:
    """The route where a backend is forced that can run."""
    tiles = backend == "triton" and structure != "unstructured"
    return Route("triton-tiles" if tiles else backend, f"the backend {backend} is forced")


def describe(op: str, **conditions: Any) -> list[str]:
    """Lines for ``explain``: the route under these conditions, or how routes are chosen."""
    if conditions or op == "packed_linear":
        route = choose_route(op, **conditions)
        return [f"  route: {route.name}: {route.reason}"]
    places = sum(row.op == op for row in MEASURED)
    return [
        f"  route: {places} measured; else library, or triton-tiles on a GPU for the structures "
        f"{' and '.join(STRUCTURES[1:])}; give rows=, elements=, dtype=, structure= and device= "
        "for that of one call"
    ]


def _check_structure(structure: Any) -> None:
    if structure not in STRUCTURES:
        raise ValueError(f"structure: expected one of {', '.join(STRUCTURES)}, got {structure!r}")


def _nearest(
    gpu: str, place: tuple[str, str, str], rows: int, elements: int, table: Iterable[Measured]
) -> Measured | None:
    """The measured row whose sizes have ratios to the asked ones that are closest to 1."""

    def distance(row: Measured) -> float:
        return abs(math.log2(max(row.rows, 1) / max(rows, 1))) + abs(
            math.log2(max(row.elements, 1) / max(elements, 1))
        )

    found = [row for row in table if row.gpu == gpu and (row.op, row.dtype, row.structure) == place]
    return min(found, key=distance, default=None)


@lru_cache
def _gpu_name(index: int | None) -> str:
    if not torch.cuda.is_available():
        return "a GPU"
    return torch.cuda.get_device_name(index)
