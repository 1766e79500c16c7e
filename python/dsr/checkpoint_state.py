"""A sparsifier's state as plain tensors, numbers and strings, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dsr_kernels import LayerShape

if TYPE_CHECKING:
    from dsr.sparsifier import Sparsifier

VERSION = 1
# What a resume must agree on: other values would train on differently, and silently.
_IDENTITY = ("version", "method", "options", "seed", "total_steps", "shapes")


def dump(sparse: Sparsifier) -> dict[str, Any]:
    """Masks go in logical order, eight weights a byte, whatever the memory format of this run."""
    state = sparse._state
    return {
        **_identity(sparse),
        "step": sparse.step,
        "budget": sparse.budget,
        "masks": {name: pack_bytes(mask) for name, mask in sparse.masks().items()},
        "threshold": state.threshold.cpu().clone(),
        "reallocations": int(state.number),
        "moved": state.moved.cpu().clone(),
        "ever": {
            name: pack_bytes(mask) for name, mask in sparse._storage.masks(state.ever).items()
        },
        **_dormant(sparse),
    }


def load(sparse: Sparsifier, given: dict[str, Any]) -> None:
    """Check everything, then change everything."""
    identity = _identity(sparse)
    own = _dormant(sparse)
    expected = {*identity, "step", "budget", "masks", "threshold", "reallocations", "moved", "ever"}
    expected |= own.keys()
    if isinstance(given, dict):  # first, since other options may have other keys
        for key in (key for key in _IDENTITY if key in given and given[key] != identity[key]):
            raise ValueError(
                f"state: {_difference(key, given[key], identity[key])}; resume with the model and "
                "arguments it was saved with"
            )
    if not isinstance(given, dict) or set(given) != expected:
        keys = sorted(given) if isinstance(given, dict) else type(given).__name__
        raise ValueError(f"state: expected the keys {sorted(expected)}, got {keys}")
    counts = ("step", "reallocations", *(["budget"] if sparse.method.has_budget else []))
    for key in counts:
        _check_count(given[key], key)
    masks = _masks(given["masks"], identity["shapes"])
    ever = _masks(given["ever"], identity["shapes"], "ever")
    storage = sparse._storage
    mask_bits, ever_bits = storage.as_mask(masks), storage.as_mask(ever)
    _check_budget(given["budget"], int(mask_bits.counts().sum()), sparse.method.has_budget)
    for name, mask in masks.items():
        if (mask & ~ever[name]).any():
            raise ValueError(f"state: ever: expected the active units of {name} among its own")
    state = sparse._state
    threshold = _tensor(given["threshold"], state.threshold, "threshold")
    moved = _tensor(given["moved"], state.moved, "moved")
    dormant = _checked_dormant(given.get("dormant", {}), own.get("dormant", {}), masks)
    slept = _checked_slept(given["slept"], storage.layout.layers) if own else None
    storage.check_unchanged()
    sparse._follow_device()
    storage.mask.words.copy_(mask_bits.words)
    state.ever.words.copy_(ever_bits.words)
    storage.mask_weights()
    sparse.step = given["step"]
    if sparse.method.has_budget:
        sparse.constant_budget = given["budget"]
    if state.dormant is not None and slept is not None:
        for name, value in zip(storage.names, state.dormant.values, strict=True):
            value.copy_(dormant[name])
        state.dormant.slept = slept
    state.threshold.copy_(threshold)
    state.moved.copy_(moved)
    state.number.fill_(given["reallocations"])
    state.active.copy_(storage.mask.counts())


def _check_budget(budget: Any, active: int, has_budget: bool) -> None:
    if not has_budget and budget is not None:
        raise ValueError(f"state: budget: expected None, got {budget!r}")
    if has_budget and budget != active:
        raise ValueError(f"state: masks hold {active} active units, the budget is {budget}")


def _identity(sparse: Sparsifier) -> dict[str, Any]:
    return {
        "version": VERSION,
        "method": type(sparse.method).__name__,
        "options": sparse.method.options(),
        "seed": sparse.seed,
        "total_steps": sparse.total_steps,
        "shapes": {place.name: list(place.parameter.shape) for place in sparse._storage.places},
    }


def _dormant(sparse: Sparsifier) -> dict[str, Any]:
    """A copy of the dormant values in logical order, where the method has any."""
    dormant = sparse._state.dormant
    if dormant is None:
        return {}
    named = zip(sparse._storage.names, dormant.values, strict=True)
    values = {name: torch.empty(v.shape).copy_(v) for name, v in named}
    return {"dormant": values, "slept": dormant.slept.clone()}


def _checked_dormant(
    given: Any, own: dict[str, Tensor], masks: dict[str, Tensor]
) -> dict[str, Tensor]:
    if not isinstance(given, dict) or set(given) != set(own):
        names = sorted(given) if isinstance(given, dict) else type(given).__name__
        raise ValueError(f"state: dormant: expected one each of {list(own)}, got {names}")
    for name, like in own.items():
        value = _tensor(given[name], like, f"dormant[{name!r}]")
        if value[masks[name]].any() or not (value.abs() <= 1).all():
            raise ValueError(
                f"state: dormant: expected numbers in [-1, 1] for {name}, 0 where it is active"
            )
    return given


def _checked_slept(given: Any, layers: Sequence[LayerShape]) -> Tensor:
    units = torch.tensor([layer.units for layer in layers])
    slept = _tensor(given, units, "slept")
    if ((slept < 0) | (slept > units)).any():
        raise ValueError(f"state: slept: expected at most {units.tolist()}, got {slept.tolist()}")
    return slept.clone()


def _difference(key: str, there: Any, here: Any) -> str:
    """Which value differs; of dicts with the same keys, only those that do."""
    if isinstance(there, dict) and there.keys() == here.keys():
        return ", ".join(
            f"{key}.{name} is {there[name]!r} there and {here[name]!r} here"
            for name in here
            if there[name] != here[name]
        )
    return f"{key} is {there!r} there and {here!r} here"


def _masks(packed: Any, shapes: dict[str, list[int]], key: str = "masks") -> dict[str, Tensor]:
    if not isinstance(packed, dict) or set(packed) != set(shapes):
        names = sorted(packed) if isinstance(packed, dict) else type(packed).__name__
        raise ValueError(f"state: {key}: expected one each of {list(shapes)}, got {names}")
    return {
        name: unpack_bytes(packed[name], tuple(shape), f"state[{key!r}][{name!r}]")
        for name, shape in shapes.items()
    }


def pack_bytes(mask: Tensor) -> Tensor:
    """A bool tensor as uint8 bits in logical order, the first weight in the lowest bit."""
    bits = mask.reshape(-1).to("cpu", torch.uint8)
    padded = torch.nn.functional.pad(bits, (0, -len(bits) % 8)).view(-1, 8)
    return (padded << torch.arange(8, dtype=torch.uint8)).sum(1, dtype=torch.uint8)


def unpack_bytes(packed: Any, shape: tuple[int, ...], name: str) -> Tensor:
    """The inverse of :func:`pack_bytes`.

    Raises:
        ValueError: not uint8 of the right length, or bits set beyond the last weight.
    """
    elements = 1
    for size in shape:
        elements *= size
    length = -(-elements // 8)
    if not isinstance(packed, Tensor) or packed.dtype != torch.uint8 or packed.shape != (length,):
        got = f"{packed.dtype} {list(packed.shape)}" if isinstance(packed, Tensor) else repr(packed)
        raise ValueError(f"{name}: expected uint8 [{length}], got {got:.80}")
    bits = ((packed.cpu()[:, None] >> torch.arange(8, dtype=torch.uint8)) & 1).bool().view(-1)
    if bits[elements:].any():
        raise ValueError(f"{name}: bits are set beyond the {elements} weights of the layer")
    return bits[:elements].view(shape)


def _check_count(value: Any, name: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(f"state: {name}: expected an int in [0, 2^63), got {value!r:.80}")


def _tensor(value: Any, like: Tensor, name: str) -> Tensor:
    if not isinstance(value, Tensor) or value.shape != like.shape or value.dtype != like.dtype:
        got = f"{value.dtype} {list(value.shape)}" if isinstance(value, Tensor) else repr(value)
        raise ValueError(f"state: {name}: expected {like.dtype} {list(like.shape)}, got {got:.80}")
    return value
