"""Which way a product with a masked weight goes, and why.

- ``library``: torch's own product, on a weight that is zero where it is inactive; one pass masks
  the gradient of the weight.
- ``triton``: one kernel a product, which masks the weight's tiles as it loads them.
- ``triton-tiles``: the same, over the tiles alone that have an active weight.

What was measured decides (``route_table.py``), forward and backward apart; where nothing was, a
rule, and the reason says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from dsr_kernels.route_table import MEASURED, Measured

CONDITIONS = ("rows", "weight", "stride", "part", "dtype", "structure", "device")
PARTS = ("forward", "backward")
STRUCTURES = ("unstructured", "tiles", "channels")
CONVOLUTIONS = ("masked_conv2d",)
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
    weight: Sequence[int] = (),
    stride: int = 1,
    part: str = "forward",
    dtype: torch.dtype = torch.float32,
    structure: str = "unstructured",
    device: torch.device | str = "cpu",
) -> Route:
    """The route of one call.

    Args:
        op: a product, such as "masked_linear".
        rows: of the input: the product of its leading sizes; for a convolution batch times the
            output's height and width.
        weight: its shape: [out, in], or [out, in / groups, height, width].
        stride: of a convolution; the larger of the two.
        part: "forward", or "backward" for either gradient.
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
    place = (gpu, op, part, str(dtype).removeprefix("torch."), structure)
    nearest = _nearest(place, (rows, stride, *weight))
    if nearest is not None:
        sizes = " x ".join(map(str, nearest.weight))
        return Route(
            nearest.route,
            f"{part} measured on {gpu} at {nearest.rows} rows, weight {sizes}, stride "
            f"{nearest.stride}: {nearest.speedup:.2f} times pre-masked dense",
        )
    if structure == "unstructured":
        return Route(
            "library", f"unmeasured on {gpu}: torch's dense product and a pass over the weight"
        )
    return Route("triton-tiles", f"unmeasured on {gpu}: it leaves out what is wholly inactive")


def preferred(route: Route) -> tuple[str, ...]:
    """Backends for ``choose_backend``, that of the route first."""
    return tuple(dict.fromkeys((BACKEND_OF[route.name], "library")))


def check_conditions(op: str, **conditions: Any) -> None:
    """Refuse what ``explain`` cannot make a route of ``op`` of, by name.

    Raises:
        TypeError, ValueError: a condition is not as :func:`choose_route` describes it.
    """
    unknown = sorted(set(conditions) - set(CONDITIONS))
    if unknown:
        raise ValueError(f"{unknown[0]}: expected a condition of {', '.join(CONDITIONS)}")
    for name, least in (("rows", 0), ("stride", 1)):
        value = conditions.get(name, least)
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name}: expected an int, got {value!r}")
        if value < least:
            raise ValueError(f"{name}: expected at least {least}, got {value}")
    stride = conditions.get("stride", 1)
    if stride != 1 and op not in CONVOLUTIONS:
        raise ValueError(f"stride: {op} is no convolution, leave it out; got {stride}")
    _check_weight(conditions.get("weight", ()), 4 if op in CONVOLUTIONS else 2)
    part = conditions.get("part", PARTS[0])
    if part not in PARTS:
        raise ValueError(f"part: expected one of {', '.join(PARTS)}, got {part!r}")
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
    structures, others = " and ".join(STRUCTURES[1:]), "=, ".join(CONDITIONS[:-1])
    return [
        f"  route: {places or 'no'} places measured; else library, or triton-tiles on a GPU "
        f"for the structures {structures}; give {others}= and {CONDITIONS[-1]}= for that of one "
        "call"
    ]


def _check_structure(structure: Any) -> None:
    if structure not in STRUCTURES:
        raise ValueError(f"structure: expected one of {', '.join(STRUCTURES)}, got {structure!r}")


def _check_weight(shape: Any, dims: int) -> None:
    sizes = isinstance(shape, Sequence) and not isinstance(shape, str)
    if not sizes or any(not isinstance(n, int) or isinstance(n, bool) for n in shape):
        raise TypeError(f"weight: expected its shape as ints, got {shape!r}")
    if any(n < 0 for n in shape):
        raise ValueError(f"weight: expected sizes of at least 0, got {list(shape)}")
    if shape and len(shape) != dims:
        raise ValueError(f"weight: expected a shape of {dims} dimensions, got {list(shape)}")


@lru_cache(maxsize=4096)
def _nearest(place: tuple[str, ...], sizes: tuple[int, ...]) -> Measured | None:
    """The measured row whose sizes have ratios to the asked ones that are closest to 1.

    Args:
        place: GPU, op, part, dtype and structure, which must be the row's.
        sizes: rows (1 if not given), stride and the weight's shape (nothing if not given).
    """

    def distance(row: Measured) -> float:
        return sum(
            abs(math.log2(max(measured, 1) / max(asked, 1)))
            for measured, asked in zip((row.rows, row.stride, *row.weight), sizes, strict=False)
        )

    found = [
        row for row in MEASURED if (row.gpu, row.op, row.part, row.dtype, row.structure) == place
    ]
    return min(found, key=distance, default=None)


@lru_cache
def _gpu_name(index: int | None) -> str:
    if not torch.cuda.is_available():
        return "a GPU"
    return torch.cuda.get_device_name(index)
