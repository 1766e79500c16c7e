"""Nets in which so many units share the first digit of the k-th that the CUDA search just keeps
them all, or just does not.

csrc/cuda/order_segments.h: a warp keeps the candidates in question of its own units of a chunk if
they are one in eight at most, 16 of each 128 in a row. How many there are here is chosen for each
128: for chunks of any size, full segments lie beside crowded and empty ones.
"""

import torch
from modes import DEVICE, INTERPRETED

from dsr_kernels import BitMask, LayerShape, SparseLayout

RUN = 128  # units that a warp reads at once
FITS = 16  # the most of them that are kept
# Units of a chunk, or of several, on the device under test.
CHUNK = 32768 if DEVICE == "cuda" else RUN if INTERPRETED else 512
# In each chunk: how many of the even and of the odd runs' units are in the crowd.
CROWDS = ((FITS, FITS), (FITS, FITS + 1), (FITS + 1, FITS + 1), (0, 1), (RUN, 0), (FITS - 1, RUN))
SHORT = 100  # units of the last chunk
FIRST, BEHIND = 1.0, 1.125  # a first digit: magnitudes from the one up to the other
STEP = 2.0**-23
# Layer -> what is added to FIRST, in steps; the size of its units; dtype.
KINDS = {
    "equal": ((0,), 1, torch.float32),
    "three": ((0, 1, 2**19 + 5), 1, torch.float32),
    "one second digit": (range(1024), 1, torch.float32),
    "all digits": (range(0, 2**20, 77), 1, torch.float32),
    "bfloat16": (range(0, 2**20, 2**16), 1, torch.bfloat16),
    "groups": (range(0, 2**20, 2**13), 4, torch.float16),
    "large groups": (range(0, 2**20, 2**16), 32, torch.bfloat16),
}


class CrowdedNet:
    """One layer a kind: its tensor, and which of its units are candidates of a search."""

    def __init__(self, device, kinds=tuple(KINDS)):
        self.device = device
        self._generator = torch.Generator().manual_seed(5)
        rows = [self._row() for _ in kinds]
        self._crowds = [crowd for crowd, _ in rows]
        self._magnitudes = [
            self._magnitude(*row, kind) for row, kind in zip(rows, kinds, strict=True)
        ]
        self._candidates = [candidate for _, candidate in rows]
        sizes = [KINDS[kind][1] for kind in kinds]
        self.layout = SparseLayout(
            tuple(LayerShape(len(row), size) for row, size in zip(self._crowds, sizes, strict=True))
        )
        self._tensors = [
            self._tensor(row, kind) for row, kind in zip(self._magnitudes, kinds, strict=True)
        ]

    def tensors(self):
        return [tensor.clone() for tensor in self._tensors]

    def mask(self, active=True):
        """The candidates are the active units, or the inactive ones."""
        rows = self._candidates if active else [~row for row in self._candidates]
        return BitMask.from_bools(self.layout, rows).to(self.device)

    def counts(self, largest, per_layer):
        """For each place of the k-th, before and in and behind the crowd: k of each layer or of
        all."""
        chosen = []
        for crowd, candidate, magnitude in zip(
            self._crowds, self._candidates, self._magnitudes, strict=True
        ):
            beyond = magnitude >= BEHIND if largest else magnitude < FIRST
            before, crowded = int((beyond & candidate).sum()), int((crowd & candidate).sum())
            # One before and one behind, the first, the last, and some between.
            parts = [before, before + 1, before + crowded, before + crowded + 1]
            chosen.append([*parts, before + crowded // 2, before + crowded * 9 // 10])
        columns = torch.tensor(chosen).t()
        if INTERPRETED:  # each search takes seconds there
            columns = columns[:: len(columns) - 1]
        if per_layer:
            return list(columns.contiguous().to(self.device))
        # The crowds of all layers share the digit.
        before, _, upto, *_ = torch.tensor(chosen).sum(0).tolist()
        places = (before, before + 1, (before + upto) // 2, upto, upto + 1)
        return [torch.tensor([k], device=self.device) for k in places[:: 2 if INTERPRETED else 1]]

    def _row(self):
        """Which units are in the crowd, and which are candidates: all of the crowd's."""
        sizes = [crowd[run % 2] for crowd in CROWDS for run in range(CHUNK // RUN)]
        crowd = torch.zeros(len(sizes), RUN, dtype=torch.bool)
        for run, size in zip(crowd, sizes, strict=True):
            run[torch.randperm(RUN, generator=self._generator)[:size]] = True
        crowd = torch.cat([crowd.flatten(), torch.rand(SHORT, generator=self._generator) < 0.12])
        return crowd, crowd | (torch.rand(len(crowd), generator=self._generator) < 0.7)

    def _magnitude(self, crowd, candidate, kind):
        """Of each unit. Those that are no candidates could all be in the crowd."""
        steps = torch.tensor(KINDS[kind][0])
        drawn = torch.randint(len(steps), crowd.shape, generator=self._generator)
        near = FIRST + steps[drawn] * STEP
        far = torch.rand(crowd.shape, generator=self._generator) / 4 + 0.5
        far = torch.where(torch.rand(crowd.shape, generator=self._generator) < 0.5, far, far * 8)
        return torch.where(crowd | ~candidate, near, far)

    def _tensor(self, magnitude, kind):
        _, size, dtype = KINDS[kind]
        signs = torch.randint(2, (len(magnitude), size), generator=self._generator) * 2 - 1
        return (magnitude[:, None] * signs).to(dtype).flatten().to(self.device)
