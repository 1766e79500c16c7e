"""prune_sign_flips_: prune what changed its sign, as DeepR does in every step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import dsr_kernels
from benchmarks.baselines import signs
from benchmarks.case import Case, Provider, Target, require
from benchmarks.cases.prune_threshold import LINE_BYTES
from benchmarks.checks import check_zeros
from benchmarks.inputs import Problem
from benchmarks.ours import ours
from benchmarks.shapes import Net
from dsr_kernels import BitMask

TARGETS: tuple[Target, ...] = ()


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside float masks and signs, bool masks, and one buffer without temporaries."""
    p = Problem(net, sparsity, device)
    old = p.weights.sign()
    flipped = p.before & ~p.kept  # as many as one reallocation moves
    p.weights.copy_(torch.where(flipped, -p.weights, p.weights))
    kept, weights = p.before & ~flipped, p.layers(p.weights)
    positive, negative = (
        BitMask.from_bools(p.layout, [bits.cpu() for bits in p.layers(side)]).to(device)
        for side in (old > 0, old < 0)
    )
    restore = p.restoring("weights", "flags", "mask")
    start = [positive.words.clone(), negative.words.clone()]

    def restore_all() -> None:
        restore()
        positive.words.copy_(start[0])
        negative.words.copy_(start[1])

    def check(flags: Tensor) -> None:
        require(torch.equal(flags, kept), "other weights went than changed their sign")
        check_zeros(p.weights, kept, "weights")

    providers = [
        *ours(
            device,
            ["prune_sign_flips_"],
            lambda: dsr_kernels.prune_sign_flips_(weights, p.mask, positive, negative),
            restore_all,
            lambda result: check(p.mask_flags()),
        ),
        *_others(p, check, old),
    ]
    moved = net.bytes + 6 * (net.weights // 8) + LINE_BYTES * net.moved
    return p.case("prune_sign_flips_", moved, providers)


def _others(p: Problem, check: Callable[[Tensor], None], old: Tensor) -> list[Provider]:
    weights, flipped = p.layers(p.weights), torch.empty_like(p.flags)
    return [
        _with_signs(
            p,
            "authors' way",
            "authors",
            lambda mask, sign: signs.authors(weights, p.layers(mask), p.layers(sign)),
            check,
            (p.flags.float(), old),
        ),
        _with_signs(
            p,
            "masks",
            "eager",
            lambda mask, sign: signs.masks(weights, p.layers(mask), p.layers(sign)),
            check,
            (p.flags, old),
        ),
        _with_signs(
            p,
            "masks, preallocated, one buffer",
            "eager",
            lambda mask, sign: signs.one_buffer(p.weights, mask, sign, flipped),
            check,
            (p.flags, old),
        ),
    ]


def _with_signs(
    p: Problem,
    name: str,
    kind: str,
    run: Callable[[Tensor, Tensor], None],
    check: Callable[[Tensor], None],
    start: tuple[Tensor, Tensor],
) -> Provider:
    """A provider with a mask and float32 signs of its own."""
    mask, sign, restore_weights = start[0].clone(), start[1].clone(), p.restoring("weights")

    def restore() -> None:
        restore_weights()
        mask.copy_(p.before)
        sign.copy_(start[1])

    return Provider(name, kind, lambda: run(mask, sign), restore, lambda result: check(mask.bool()))
