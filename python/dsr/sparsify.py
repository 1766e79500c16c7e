"""dsr.sparsify: the entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, distributed, nn

from dsr.claims import is_taken
from dsr.divergence import check_group
from dsr.initial_masks import choose_by_saliency, draw_random
from dsr.masked import MaskedStorage
from dsr.methods.base import Method
from dsr.nn.masked import MaskedWeight
from dsr.selection import Owned, Patterns, select_parameters
from dsr.sparsifier import Sparsifier

WRAPPERS = (
    "DistributedDataParallel",
    "DataParallel",
    "FullyShardedDataParallel",
    "FSDPModule",
    "OptimizedModule",
)


def sparsify(
    model: nn.Module,
    method: Method,
    *,
    total_steps: int | None = None,
    storage: str = "masked",
    include: Patterns | None = None,
    exclude: Patterns | None = None,
    distribution: str = "uniform",
    masks: dict[str, Tensor] | None = None,
    calibrate: Callable[[], Tensor] | None = None,
    seed: int = 0,
    strict: bool = False,
    optimizer: torch.optim.Optimizer | None = None,
    process_group: distributed.ProcessGroup | None = None,
) -> Sparsifier:
    """Make a model's weights sparse, and keep them so while it trains.

    Call it before DDP and ``torch.compile`` wrap the model, and after its memory format is chosen.
    Inactive weights are set to 0 here; active ones keep their values.

    Args:
        model: a plain module.
        method: ``dsr.DSR(sparsity=0.9)`` or another of ``dsr.methods``.
        total_steps: optimizer steps in all; needed by schedules that stop or decay.
        storage: "masked": each module keeps its dense weight with zeros where inactive.
        include: names, globs or module types, as in ``["fc", "blocks.*.weight", nn.Bilinear]``;
            exactly these become sparse. Default: every Linear and convolution weight except the
            first convolution and weights tied to an embedding.
        exclude: names, globs or module types that stay dense. Here and in ``include`` a weight that
            modules share goes by any of its names; by type it is an embedding if one of them is.
        distribution: initial allocation: "uniform", "erdos-renyi" or "erdos-renyi-kernel".
        masks: bool tensors by parameter name to start from, in place of a random draw; their
            active count becomes the budget.
        calibrate: for SNIP: runs the model on a batch and returns the loss; called once.
        seed: of every random draw; masks are equal on every machine, rank and backend.
        strict: look for NaN and Inf before each optimizer step and raise with nothing changed
            (waits for the device).
        optimizer: attach to it at once.
        process_group: the ranks that train this model together, whose masks are compared and whose
            saliencies SNIP sums; give it where DDP is given one. None: all ranks.

    Returns:
        The sparsifier. ``print`` it for the table of layers.

    Raises:
        TypeError, ValueError: an argument is not as described, or the model cannot be made
            sparse; the message names the argument or layer. Nothing was changed.

    Example:
        >>> sparse = dsr.sparsify(model, dsr.DSR(sparsity=0.9), total_steps=1000)
        >>> sparse.attach(torch.optim.SGD(model.parameters(), lr=0.1))
    """
    _check_arguments(model, method, total_steps, storage, seed)
    _check_start(method, masks, calibrate)
    check_group(process_group)
    selection = select_parameters(model, include, exclude)
    _refuse_masked(selection.sparse)
    for one in selection.sparse:
        if is_taken(one.parameter):
            raise ValueError(f"model: {one.name} is sparse already; call dsr.sparsify once a model")
    held = MaskedStorage(selection.sparse, method.granularity)
    if masks is not None:
        held.mask.words.copy_(held.as_mask(masks).words)
        distribution = "given"
    elif calibrate is not None:
        choose_by_saliency(held, method.initial_sparsity, calibrate, process_group)
        distribution = "saliency"
    else:
        draw_random(held, distribution, method.initial_sparsity, seed)
    sparse = Sparsifier(
        model,
        method,
        selection,
        held,
        total_steps=total_steps,
        distribution=distribution,
        seed=seed,
        strict=strict,
        process_group=process_group,
    )
    if optimizer is not None:
        sparse.attach(optimizer)
    sparse.start()
    return sparse


def _check_arguments(model: Any, method: Any, total_steps: Any, storage: Any, seed: Any) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    kinds = {cls.__name__ for cls in type(model).__mro__}
    for wrapper in WRAPPERS:
        if wrapper in kinds:
            raise TypeError(f"model: expected the plain module, got {wrapper}; sparsify it first")
    if not isinstance(method, Method):
        raise TypeError(
            f"method: expected an instance such as dsr.DSR(sparsity=0.9), got {method!r}"
        )
    if storage != "masked":
        raise ValueError(f"storage: expected 'masked', got {storage!r}")
    _check_int("seed", seed, 0, 2**64 - 1)
    if total_steps is not None:
        _check_int("total_steps", total_steps, 1, 2**62)
    elif method.needs_total_steps:
        raise ValueError(
            f"total_steps: {type(method).__name__} needs it for its schedule; give total_steps="
            "epochs * len(loader), or period=... and stop=None"
        )


def _check_start(method: Method, masks: Any, calibrate: Any) -> None:
    """The initial mask comes from one source, and from the one that the method needs."""
    name = type(method).__name__
    if masks is not None and not isinstance(masks, dict):
        raise TypeError(f"masks: expected a dict of bool tensors, got {type(masks).__name__}")
    if masks is not None and method.initial_sparsity != method.sparsity:
        raise ValueError(f"masks: {name} starts dense; masks of its own cannot be given")
    if calibrate is not None and not method.needs_calibration:
        raise ValueError(f"calibrate: {name} does not look at the loss; leave it out")
    if method.needs_calibration and masks is None and not callable(calibrate):
        raise TypeError(
            f"calibrate: {name} needs a function that returns the loss of a batch, got "
            f"{calibrate!r}"
        )


def _refuse_masked(sparse: Iterable[Owned]) -> None:
    for one in sparse:
        if isinstance(one.module, MaskedWeight):
            raise TypeError(
                f"{one.name}: its {type(one.module).__name__} has a mask of its own, which "
                "dsr.sparsify does not move; make it dense with to_dense(), or exclude it"
            )


def _check_int(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected an int, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name}: expected an int in [{low}, {high}], got {value}")
