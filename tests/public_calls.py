"""A call of every public op on one small net: for tests that treat all ops alike."""

import torch

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, SparseLayout

LAYOUT = SparseLayout((LayerShape(70), LayerShape(4, 9), LayerShape(33)))
ELEMENTS = SparseLayout.of_elements([layer.elements for layer in LAYOUT.layers])


class Net:
    """Weights, two masks of them and the small vectors that ops take, always the same."""

    def __init__(self, device="cpu"):
        generator = torch.Generator().manual_seed(0)
        self.device = device
        self.tensors = [
            torch.randn(layer.elements, generator=generator).to(device) for layer in LAYOUT.layers
        ]
        bits = [torch.rand(layer.units, generator=generator) for layer in LAYOUT.layers]
        self.mask = BitMask.from_bools(LAYOUT, [row < 0.4 for row in bits]).to(device)
        self.previous = BitMask.from_bools(LAYOUT, [row < 0.6 for row in bits]).to(device)
        rows = [torch.rand(layer.elements, generator=generator) for layer in LAYOUT.layers]
        self.elements, self.positive, self.negative = (
            BitMask.from_bools(ELEMENTS, [(low < row) & (row < high) for row in rows]).to(device)
            for low, high in ((0.2, 1.0), (0.4, 0.7), (0.7, 1.0))
        )
        self.active = self.mask.counts().tolist()
        self.packed = dsr_kernels.pack(self.tensors[1], self.mask, 1)
        self.threshold = torch.tensor([0.3], device=device)
        self.scale = torch.tensor([0.5, 0.0, 2.0], device=device)
        self.counts = self.int64([9, 1, 12])
        self.number = self.int64([4])

    def int64(self, values):
        return torch.tensor(values, dtype=torch.int64, device=self.device)

    def state(self):
        """Everything an op could change."""
        masks = (self.mask, self.previous, self.elements, self.positive, self.negative)
        return [*self.tensors, *(mask.words for mask in masks), self.threshold, self.scale]


# Each takes a Net and returns the op's outputs.
CALLS = {
    "apply_mask_": lambda n: dsr_kernels.apply_mask_(n.tensors, n.mask),
    "mask_and_count_": lambda n: dsr_kernels.mask_and_count_(n.tensors, n.mask),
    "prune_threshold_": lambda n: dsr_kernels.prune_threshold_(n.tensors, n.mask, n.threshold),
    "kth_magnitude": lambda n: dsr_kernels.kth_magnitude(
        n.tensors, n.mask, n.counts, active=False, largest=True
    ),
    "prune_smallest_": lambda n: dsr_kernels.prune_smallest_(
        n.tensors, n.mask, n.counts, zero=False
    ),
    "allocate_growth": lambda n: dsr_kernels.allocate_growth(
        n.counts, n.counts + 1, n.counts * 2, threshold=n.threshold, lower=30, upper=40
    ),
    "grow_random_": lambda n: dsr_kernels.grow_random_(
        n.mask, n.previous, n.counts, seed=2**64 - 3, reallocation=n.number
    ),
    "grow_largest_": lambda n: dsr_kernels.grow_largest_(
        n.mask, n.previous, n.tensors, n.counts[:1], per_layer=False
    ),
    "layer_mean": lambda n: dsr_kernels.layer_mean(n.tensors, n.mask),
    "reset_state_": lambda n: dsr_kernels.reset_state_(n.tensors, n.mask, n.previous),
    "add_noise_": lambda n: dsr_kernels.add_noise_(
        n.tensors, n.mask, n.scale, seed=2**64 - 3, counter=n.number
    ),
    "prune_sign_flips_": lambda n: dsr_kernels.prune_sign_flips_(
        n.tensors, n.elements, n.positive, n.negative
    ),
    "masked_linear": lambda n: dsr_kernels.masked_linear(
        n.tensors[0].view(2, 5, 7), n.tensors[0].view(10, 7), n.mask
    ),
    "masked_conv2d": lambda n: dsr_kernels.masked_conv2d(
        n.tensors[0].view(1, 1, 10, 7), n.tensors[1].view(4, 1, 3, 3), n.mask, 1, padding="same"
    ),
    "pack": lambda n: dsr_kernels.pack(n.tensors[1], n.mask, 1, active=n.active[1]),
    "unpack": lambda n: dsr_kernels.unpack(*n.packed, n.mask, 1),
    "packed_linear": lambda n: dsr_kernels.packed_linear(
        n.tensors[0].view(14, 5)[:, :3], *n.packed, n.mask, 1, outs=12
    ),
}
