"""Values that inactive units keep outside of the weights, for methods in which they live on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dsr_kernels import BitMask, Purpose, add_noise_


class DormantValues:
    """One number in [-1, 1] for each inactive unit, bitwise +0.0 where a unit is active.

    Attributes:
        values: float32, one tensor a layer, with the shape and strides of its weight.
        slept: units of each layer that were inactive at the start, int64 [layers] on the host.
        every: a mask in which every unit is active.
    """

    def __init__(
        self, weights: Sequence[Tensor], mask: BitMask, deviation: float, seed: int
    ) -> None:
        """Draw what training starts with: normal numbers of that deviation, cut at -1 and 1."""
        self.values = [
            torch.empty_like(weight, dtype=torch.float32, requires_grad=False).zero_()
            for weight in weights
        ]
        self.every = BitMask.ones(mask.layout, mask.device)
        self.slept = self.inactive(mask).counts().cpu()
        add_noise_(
            self.values,
            self.inactive(mask),
            torch.full((len(self.values),), deviation, device=mask.device),
            seed=seed,
            counter=torch.zeros(1, dtype=torch.int64, device=mask.device),
            purpose=Purpose.DORMANT_START,
        )
        for value in self.values:
            value.clamp_(-1, 1)

    def inactive(self, mask: BitMask) -> BitMask:
        """The units that are inactive in ``mask``."""
        return BitMask(mask.layout, self.every.words & ~mask.words)

    def odds(self) -> list[float]:
        """Inactive to active units of each layer at the start, neither taken as less than 1."""
        units = [shape.units for shape in self.every.layout.layers]
        pairs = zip(units, self.slept.tolist(), strict=True)
        return [max(1, slept) / max(1, total - slept) for total, slept in pairs]

    def to(self, device: torch.device | str) -> None:
        self.values = [value.to(device) for value in self.values]
        self.every = self.every.to(device)
