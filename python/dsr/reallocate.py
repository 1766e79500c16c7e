"""One reallocation: prune, split the growth over the layers, grow, clear optimizer state."""

from __future__ import annotations

from types import NoneType
from typing import NamedTuple

import torch

from dsr.dormant import DormantValues
from dsr.masked import MaskedStorage
from dsr.methods.base import Method
from dsr.methods.protocol import ComingStep, Pruned, Reallocation, Rules, Signs, StepRule
from dsr.methods.rules import BySize, BySurvivors, RandomGrowth
from dsr.nonfinite import raise_if_missing
from dsr_kernels import BitMask

SAFE_SPLITS = (NoneType, BySurvivors, BySize)


class Moved(NamedTuple):
    """What a reallocation leaves to look at, on the device: counts, and units that did not grow."""

    counts: Pruned
    missing: torch.Tensor | None


class DeviceState:
    """What a method keeps on the weights' device; the host reads none of it in a step.

    Attributes:
        threshold: float32 [1], H.
        number: int64 [1], reallocations so far; random numbers are drawn by it.
        active: int64 [layers], active units.
        moved: int64 [4, layers]: units pruned and grown by the last reallocation, then in all.
        ever: the bits of units that were active after some reallocation, or at the start.
        dormant: what inactive units keep, where a method's rules ask for it.
        signs: the weights' signs before the step, where a method takes them; no checkpoint holds
            them, since every step takes them anew.
    """

    FIELDS = ("threshold", "number", "active", "moved", "ever")

    def __init__(self, storage: MaskedStorage, rules: Rules | None, seed: int) -> None:
        start = rules.initial_threshold if rules is not None else 0.0
        device, layers = storage.device, len(storage.places)
        self.threshold = torch.full((1,), start, dtype=torch.float32, device=device)
        self.number = torch.zeros(1, dtype=torch.int64, device=device)
        self.active = storage.mask.counts()
        self.moved = torch.zeros(4, layers, dtype=torch.int64, device=device)
        self.ever = storage.mask.clone()
        self.signs: Signs | None = None
        self.dormant: DormantValues | None = None
        if rules is not None and rules.dormant_start is not None:
            self.dormant = DormantValues(storage.weights, storage.mask, rules.dormant_start, seed)

    def to(self, device: torch.device) -> None:
        for name in self.FIELDS:
            setattr(self, name, getattr(self, name).to(device))
        if self.dormant is not None:
            self.dormant.to(device)
        self.signs = None


def rules_of(method: Method, budget: int) -> Rules | None:
    """The method's rules.

    Raises:
        TypeError: they are no :class:`Rules`; names the method.
    """
    rules = method.rules(budget)
    if not isinstance(rules, Rules | None):
        raise TypeError(
            f"{type(method).__name__}.rules: expected dsr.Rules or None, got {rules!r:.80}"
        )
    return rules


def before_step(
    rule: StepRule,
    storage: MaskedStorage,
    state: DeviceState,
    optimizer: torch.optim.Optimizer,
    *,
    seed: int,
    step: int,
    total_steps: int | None,
) -> None:
    """Let the method change the gradients of optimizer step ``step``."""
    if state.signs is None:
        layout, device = storage.layout, storage.device
        state.signs = Signs(BitMask.zeros(layout, device), BitMask.zeros(layout, device))
    gradients, layers = storage.gradients()
    rule.apply(
        ComingStep(
            weights=storage.weights,
            gradients=gradients,
            layers=layers,
            gradient_scale=getattr(optimizer, "grad_scale", None),
            mask=storage.mask,
            signs=state.signs,
            seed=seed,
            step=step,
            total_steps=total_steps,
        )
    )


def reallocate(
    rules: Rules,
    storage: MaskedStorage,
    state: DeviceState,
    optimizer: torch.optim.Optimizer,
    *,
    seed: int,
    step: int,
    total_steps: int | None,
) -> Moved:
    """Move units once. Calls of ops only: nothing here waits for the device.

    Returns:
        The counts of the prune rule, with the NaN and Inf weights it met, and what to look at
        where rules of one's own divide the growth.

    Raises:
        ValueError: on a CPU, those rules did not grow as many as were pruned; nothing moved.
    """
    mask, previous = storage.mask, storage.previous
    state.number += 1
    previous.words.copy_(mask.words)
    threshold = state.threshold.clone()
    try:
        counts, grown = _move(rules, storage, state, optimizer, seed, step, total_steps)
    except BaseException:  # a rule of one's own raised: as if this had not begun
        mask.words.copy_(previous.words)
        state.threshold.copy_(threshold)
        state.number -= 1
        raise
    if not rules.dense_state:
        if rules.dense_gradient != "never":
            storage.mask_states(optimizer)
        if not rules.keep_state:
            storage.reset_states(optimizer)
    elif rules.clear_grown:
        storage.reset_states(optimizer, grown_only=True)
    # In place: what a CUDA graph has captured goes on to see it.
    torch.add(counts.surviving, grown, out=state.active)
    torch.stack([counts.pruned, grown], out=state.moved[:2])
    state.moved[2:].add_(state.moved[:2])
    state.ever.words.bitwise_or_(mask.words)
    return Moved(counts, _missing(rules, counts, grown))


def _move(
    rules: Rules,
    storage: MaskedStorage,
    state: DeviceState,
    optimizer: torch.optim.Optimizer,
    seed: int,
    step: int,
    total_steps: int | None,
) -> tuple[Pruned, torch.Tensor]:
    """Prune, then grow as many. Returns the prune rule's counts and the units grown a layer."""
    mask = storage.mask
    # Weights are zeroed while pruning where what follows needs none of them and cannot raise.
    cannot_raise = type(rules.redistribute) in SAFE_SPLITS and (
        rules.grow is None or isinstance(rules.grow, RandomGrowth)
    )
    zero_pruned = cannot_raise and not rules.regrow_pruned
    reallocation = Reallocation(
        weights=storage.weights,
        mask=mask,
        previous=storage.previous,
        active=state.active,
        threshold=state.threshold,
        number=state.number,
        seed=seed,
        step=step,
        total_steps=total_steps,
        adapt=rules.adapt,
        zero_pruned=zero_pruned,
        previous_holds_pruned=not rules.regrow_pruned,
        views=lambda: storage.views(optimizer),
        learning_rates=lambda: storage.learning_rates(optimizer),
        signs=state.signs,
        dormant=state.dormant,
    )
    reallocation.counts = counts = rules.prune.apply(reallocation)
    if rules.regrow_pruned:
        reallocation.previous = mask.clone()  # what was just pruned is as free as the rest
    growth = counts.pruned
    if rules.redistribute is not None:
        growth = rules.redistribute.split(reallocation)
    if rules.grow is None:
        grown = torch.zeros_like(counts.pruned)
    else:
        grown = rules.grow.apply(reallocation, growth)
    missing = _missing(rules, counts, grown)
    if missing is not None and missing.device.type == "cpu":
        raise_if_missing(int(missing))
    if not zero_pruned:
        nonfinite = storage.mask_weights()
        if nonfinite is not None:  # growth may have written some
            counts = counts._replace(nonfinite=nonfinite)
    return counts, grown


def _missing(rules: Rules, counts: Pruned, grown: torch.Tensor) -> torch.Tensor | None:
    """Units pruned but not grown, int64 [1]; None where only rules of this package decide it."""
    if rules.grow is None:
        return None
    asked = [(rules.redistribute, "split"), (rules.grow, "apply")]
    if all(rule is None or _is_ours(rule, name) for rule, name in asked):
        return None
    return (counts.pruned - grown).sum().view(1)


def _is_ours(rule: object, name: str) -> bool:
    """Whether the method of that name was written in this package, not in a subclass of its own."""
    return getattr(type(rule), name).__module__.partition(".")[0] == __package__
