"""The first masks: drawn at random, or chosen by one look at the loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, distributed

from dsr.distributions import initial_counts
from dsr.divergence import world_size
from dsr.masked import MaskedStorage
from dsr_kernels import Purpose, active_count, grow_largest_, grow_random_


def draw_random(held: MaskedStorage, distribution: str, sparsity: float, seed: int) -> None:
    """Random masks from counters: the same for every process that has the same seed."""
    shapes = [tuple(place.parameter.shape) for place in held.places]
    counts = initial_counts(distribution, shapes, held.layout.layers, sparsity)
    grow_random_(
        held.mask,
        held.mask.clone(),
        torch.tensor(counts, dtype=torch.int64, device=held.device),
        seed=seed,
        reallocation=torch.zeros(1, dtype=torch.int64, device=held.device),
        purpose=Purpose.INITIAL_MASK,
    )


def choose_by_saliency(
    held: MaskedStorage,
    sparsity: float,
    calibrate: Callable[[], Tensor],
    group: distributed.ProcessGroup | None = None,
) -> None:
    """Keep the weights of largest |w dL/dw| over all layers (SNIP), summed over the group's ranks.

    Raises:
        TypeError, ValueError: ``calibrate`` did not return a scalar loss that depends on a sparse
            weight.
    """
    loss = calibrate()
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        got = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise TypeError(f"calibrate: expected it to return a scalar loss with gradient, got {got}")
    gradients = torch.autograd.grad(loss, held.weights, allow_unused=True)
    if all(gradient is None for gradient in gradients):
        raise ValueError("calibrate: its loss depends on no sparse weight")
    scores = [
        torch.zeros_like(weight, dtype=torch.float32).detach()
        if gradient is None
        else (weight * gradient).detach().float().abs()
        for weight, gradient in zip(held.weights, gradients, strict=True)
    ]
    _sum_over_ranks(scores, group)
    total = torch.tensor([active_count(held.layout.units, sparsity)], device=held.device)
    in_order = [
        torch.empty_like(weight, dtype=torch.float32).copy_(score)
        for weight, score in zip(held.weights, scores, strict=True)
    ]
    grow_largest_(held.mask, held.mask.clone(), in_order, total, per_layer=False)


def _sum_over_ranks(scores: list[Tensor], group: distributed.ProcessGroup | None) -> None:
    """One reduction for all layers, so that every rank chooses by the same numbers."""
    if world_size(group) == 1:
        return
    flat = torch.cat([score.reshape(-1) for score in scores])
    distributed.all_reduce(flat, group=group)
    for score, part in zip(scores, flat.split([s.numel() for s in scores]), strict=True):
        score.copy_(part.view(score.shape))
