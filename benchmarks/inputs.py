"""What a case starts from: weights, masks and momentum as training leaves them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from benchmarks.case import Case, Provider
from benchmarks.shapes import Net
from dsr_kernels import BitMask, SparseLayout, allocate_growth


class Problem:
    """One net just before a reallocation, or just after its pruning.

    All layers lie in one buffer, since a user may store them so; the lists are views of it.
    The threshold is such that pruning takes ``net.moved`` weights.

    Args:
        net: layer sizes.
        sparsity: chance of a weight to be inactive.
        device: where everything lies.
        pruned: start after pruning, so that growth is next.

    Attributes:
        weights, momentum: [weights of the net] of the net's dtype, 0 where inactive before pruning.
        flags: bool, the mask as eager baselines keep it.
        before, kept: bool, the mask before and after pruning; they stay as they are.
        mask, previous: the same as ``flags`` and ``before``, one bit a weight.
        threshold: float32 [1], H; ``h`` is the same number on the host.
    """

    def __init__(
        self, net: Net, sparsity: float, device: torch.device, *, pruned: bool = False
    ) -> None:
        generator = torch.Generator(device).manual_seed(0)
        self.net, self.sparsity, self.device, self.sizes = net, sparsity, device, list(net.sizes)
        self.layout = SparseLayout.of_elements(net.sizes)
        before = torch.rand(net.weights, generator=generator, device=device) >= sparsity
        weights = self._normal(generator)
        for layer, fan in zip(weights.split(self.sizes), net.fans, strict=True):
            layer.mul_((2 / fan) ** 0.5)
        momentum = self._normal(generator)
        magnitudes = weights[before].abs().float()
        self.h = float(magnitudes.sort().values[min(net.moved, len(magnitudes) - 1)])
        kept = before & (weights.abs() >= self.h)
        start = kept if pruned else before
        self.weights = weights.masked_fill_(~start, 0)
        self.momentum = momentum.masked_fill_(~before, 0)
        self.flags, self.before, self.kept = start.clone(), before, kept
        self.mask = BitMask.from_bools(self.layout, list(start.split(self.sizes)))
        self.previous = BitMask.from_bools(self.layout, list(before.split(self.sizes)))
        self.threshold = torch.tensor([self.h], device=device)
        self._starts: dict[str, Tensor] = {}

    def _normal(self, generator: torch.Generator) -> Tensor:
        """Standard normal numbers, one a weight."""
        size, dtype = self.net.weights, self.net.dtype
        return torch.randn(size, generator=generator, device=self.device, dtype=dtype)

    def scores(self, seed: int) -> Tensor:
        """Standard normal numbers at every weight, as a dense gradient has them."""
        return self._normal(torch.Generator(self.device).manual_seed(seed))

    def layers(self, flat: Tensor) -> list[Tensor]:
        """A view a layer."""
        return list(flat.split(self.sizes))

    def counts(self, flags: Tensor) -> Tensor:
        """True values a layer, int64 [layers]."""
        return torch.stack([layer.count_nonzero() for layer in self.layers(flags)])

    def mask_flags(self) -> Tensor:
        """``mask`` as one bool tensor."""
        return torch.cat(self.mask.to_bools())

    @cached_property
    def units(self) -> Tensor:
        return torch.tensor(self.sizes, device=self.device)

    @cached_property
    def active(self) -> Tensor:
        """Active weights a layer before pruning."""
        return self.counts(self.before)

    @cached_property
    def surviving(self) -> Tensor:
        return self.counts(self.kept)

    @cached_property
    def pruned(self) -> Tensor:
        return self.active - self.surviving

    @cached_property
    def growth(self) -> Tensor:
        """What each layer grows, int64 [layers]."""
        return allocate_growth(self.pruned, self.surviving, self.units - self.active)

    def tensor(self, name: str) -> Tensor:
        return self.mask.words if name == "mask" else getattr(self, name)

    def start(self, name: str) -> Tensor:
        """What an attribute held when it was first asked to be restored."""
        return self._starts[name]

    def restoring(self, *names: str) -> Callable[[], None]:
        """A function that puts these attributes back to what they hold now."""
        for name in names:
            if name not in self._starts:
                self._starts[name] = self.tensor(name).clone()

        def restore() -> None:
            for name in names:
                self.tensor(name).copy_(self._starts[name])

        return restore

    def copying(self) -> Provider:
        """The speed limit: all weights copied."""
        target = torch.empty_like(self.weights)
        return Provider("copy", "copy", lambda: target.copy_(self.weights))

    def case(self, op: str, moved_bytes: int, providers: Sequence[Provider]) -> Case:
        """A case on this net, ours first and the copy last."""
        net = self.net
        return Case(
            op,
            net.name,
            self.sparsity,
            moved_bytes,
            net.bytes,
            (*providers, self.copying()),
            net.dtype,
        )
