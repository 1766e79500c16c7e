"""Whole methods inside a training loop, written layer by layer as their authors write them.

DSR, SET and DeepR as in the DSR paper's comparison, sparse momentum as in its authors' code, RigL
as it is written in eager PyTorch: topk of magnitudes, topk of gradients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.baselines import authors, signs

TEMPERATURE, STEP_SIZE = 1e-5, 0.01
MOMENTUM_RATE, RIGL_RATE = 0.2, 0.3
INITIAL_THRESHOLD = 1e-3


class AuthorsMethod:
    """One method's reallocation over ``parameters``, with a dense float mask each."""

    def __init__(
        self,
        name: str,
        parameters: Sequence[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        sparsity: float,
        moved: int,
        fraction: float,
    ) -> None:
        self.parameters, self.optimizer = parameters, optimizer
        self.weights = [parameter.detach().view(-1) for parameter in parameters]
        self.masks = [(torch.rand_like(w) >= sparsity).float() for w in self.weights]
        self.signs = [torch.zeros_like(w) for w in self.weights]
        self.h, self.moved, self.fraction = INITIAL_THRESHOLD, moved, fraction
        self.noisy = name == "deepr"
        self.reallocate = {
            "dsr": self._dsr,
            "set": self._set,
            "deepr": self._deepr,
            "sparse-momentum": self._sparse_momentum,
            "rigl": self._rigl,
        }[name]
        self.mask_weights()

    def mask_weights(self) -> None:
        torch._foreach_mul_(self.weights, self.masks)

    def before_step(self) -> None:
        """DeepR notes the signs and adds noise to the gradients."""
        if not self.noisy:
            return
        scale = math.sqrt(2 * STEP_SIZE * TEMPERATURE)
        rows = zip(self._gradients(), self.weights, self.masks, self.signs, strict=True)
        for gradient, weight, mask, sign in rows:
            sign.copy_(weight.sign())
            gradient.add_(torch.randn_like(gradient).mul_(scale).mul_(mask))

    def _gradients(self) -> list[Tensor]:
        return [p.grad.view(-1) for p in self.parameters if p.grad is not None]

    def _dsr(self) -> None:
        self.h, _ = authors.reallocate(self.weights, self.masks, self.h, self.moved)

    def _set(self) -> None:
        before = [mask.clone() for mask in self.masks]
        counts = [int(self.fraction * int(mask.sum())) + 1 for mask in self.masks]
        authors.prune_smallest(self.weights, self.masks, counts)
        self._grow_where_pruned(before)

    def _deepr(self) -> None:
        before = [mask.clone() for mask in self.masks]
        signs.authors(self.weights, self.masks, self.signs)
        self._grow_where_pruned(before)

    def _grow_where_pruned(self, before: Sequence[Tensor]) -> None:
        for mask, old in zip(self.masks, before, strict=True):
            pruned = (old - mask).nonzero().view(-1)
            authors.grow_random(mask, pruned, len(pruned))

    def _sparse_momentum(self) -> None:
        momentum = [self.optimizer.state[p]["momentum_buffer"].view(-1) for p in self.parameters]
        rows = list(zip(self.weights, self.masks, momentum, strict=True))
        shares = [float((m.abs() * mask).sum() / mask.sum().clamp(min=1)) for _, mask, m in rows]
        pruned = 0
        for weight, mask, _ in rows:
            active = int(mask.sum())
            count = math.ceil(MOMENTUM_RATE * active)
            order = weight.abs().sort().indices
            mask[order[: len(weight) - active + count]] = 0
            pruned += count
        for (_, mask, m), share in zip(rows, shares, strict=True):
            free = int((mask == 0).sum())
            count = min(free, math.ceil(pruned * share / max(sum(shares), 1e-30)))
            order = (m.abs() * (mask == 0)).sort(descending=True).indices
            mask[order[:count]] = 1
        self.mask_weights()

    def _rigl(self) -> None:
        for weight, mask, gradient in zip(self.weights, self.masks, self._gradients(), strict=True):
            active = int(mask.sum())
            count = int(RIGL_RATE * active)
            kept = (weight.abs() * mask).topk(active - count).indices
            mask.zero_()
            mask[kept] = 1
            score = gradient.abs().masked_fill(mask > 0, -1)
            mask[score.topk(count).indices] = 1
        self.mask_weights()
