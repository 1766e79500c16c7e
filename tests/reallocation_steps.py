"""Whole reallocations made of ops alone, as CUDA graphs capture them: one function a method.

A net's tensors stay where they are: a step reads and writes them in place, and what it would hand
to the host it copies into ``net.counts``.
"""

import torch

import dsr_kernels
from dsr_kernels import BitMask, SparseLayout

SIZES = (1000, 33, 4099, 0, 70)
SPARSITY = 0.8
SEED = 5
FRACTION = (1 << 32) // 5  # of the active units, in units of 2 ** -32


class Net:
    """Weights, momentum, gradients, masks and the methods' state of one small net."""

    def __init__(self, device, sizes=SIZES):
        generator = torch.Generator().manual_seed(1)

        def drawn(draw):
            return [draw(size, generator=generator).to(device) for size in sizes]

        self.layout = SparseLayout.of_elements(sizes)
        active = [row.cpu() >= SPARSITY for row in drawn(torch.rand)]
        self.mask = BitMask.from_bools(self.layout, active).to(device)
        self.previous = self.mask.clone()
        self.positive, self.negative = (BitMask.zeros(self.layout, device) for _ in range(2))
        self.weights, self.momentum, self.changes = (drawn(torch.randn) for _ in range(3))
        self.threshold = torch.tensor([0.01], device=device)
        self.number = torch.zeros(1, dtype=torch.int64, device=device)
        self.active = self.mask.counts()
        self.units = torch.tensor(sizes, dtype=torch.int64, device=device)
        self.capacity = self.units - self.active
        self.scale = torch.full((len(sizes),), 0.1, device=device)
        self.counts = torch.zeros(2, len(sizes), dtype=torch.int64, device=device)
        dsr_kernels.apply_mask_(self.weights, self.mask)

    def train(self):
        """Stands for training: every active weight moves, by the same amount on every backend."""
        for weight, momentum, change in zip(self.weights, self.momentum, self.changes, strict=True):
            change.copy_(change.roll(17))
            momentum.mul_(0.5).add_(change)
            weight.mul_(0.75).add_(momentum)
        dsr_kernels.apply_mask_(self.weights, self.mask)

    def tensors(self):
        """Everything a step changes, to compare bit for bit."""
        masks = [self.mask.words, self.previous.words, self.positive.words, self.negative.words]
        state = [self.threshold, self.number, self.active, self.counts]
        return [*self.weights, *self.momentum, *masks, *state]

    def begin(self):
        self.number += 1
        self.capacity.copy_(self.units - self.active)
        self.previous.words.copy_(self.mask.words)

    def note(self, pruned, grown):
        self.counts.copy_(torch.stack([pruned, grown]))
        self.active.copy_(self.active - pruned + grown)


def dsr(net):
    """DSR: a threshold that adapts, growth by surviving weights, at random."""
    net.begin()
    net.note(*dsr_ops(net))


def dsr_ops(net):
    """The ops of a DSR step alone."""
    pruned, surviving, _ = dsr_kernels.prune_threshold_(net.weights, net.mask, net.threshold)
    wanted = dsr_kernels.allocate_growth(
        pruned, surviving, net.capacity, threshold=net.threshold, lower=90, upper=110
    )
    grown = dsr_kernels.grow_random_(
        net.mask, net.previous, wanted, seed=SEED, reallocation=net.number
    )
    dsr_kernels.reset_state_(net.momentum, net.mask, net.previous)
    return pruned, grown


def set_(net):
    """SET: a fraction of each layer's smallest weights, grown again within it."""
    net.begin()
    pruned, _, _ = dsr_kernels.prune_smallest_(net.weights, net.mask, some_of(net.active))
    grown = dsr_kernels.grow_random_(
        net.mask, net.previous, pruned, seed=SEED, reallocation=net.number
    )
    dsr_kernels.reset_state_(net.momentum, net.mask, net.previous)
    net.note(pruned, grown)


def rigl(net):
    """RigL: as SET, grown where the gradient is largest, just pruned places included."""
    net.begin()
    k = some_of(net.active)
    pruned, _, _ = dsr_kernels.prune_smallest_(net.weights, net.mask, k, zero=False)
    free = net.mask.clone()
    grown = dsr_kernels.grow_largest_(net.mask, free, net.changes, pruned)
    dsr_kernels.apply_mask_(net.weights, net.mask)
    net.note(pruned, grown)


def exact(net):
    """A number of weights of the whole net, exactly, split over the layers without a threshold."""
    net.begin()
    k = some_of(net.active.sum().view(1))
    dsr_kernels.kth_magnitude(net.weights, net.mask, k, per_layer=False)
    pruned, surviving, _ = dsr_kernels.prune_smallest_(
        net.weights, net.mask, k, per_layer=False, keep_one=True
    )
    wanted = dsr_kernels.allocate_growth(pruned, surviving, net.capacity)
    grown = dsr_kernels.grow_random_(
        net.mask, net.previous, wanted, seed=SEED, reallocation=net.number
    )
    dsr_kernels.reset_state_(net.momentum, net.mask, net.previous)
    net.note(pruned, grown)


def momentum(net):
    """Sparse momentum: shares by the layers' mean momentum, growth by momentum."""
    net.begin()
    shares = dsr_kernels.layer_mean(net.momentum, net.mask)
    pruned, _, _ = dsr_kernels.prune_smallest_(net.weights, net.mask, some_of(net.active))
    wanted = dsr_kernels.allocate_growth(pruned, shares, net.capacity)
    grown = dsr_kernels.grow_largest_(net.mask, net.previous, net.momentum, wanted)
    net.note(pruned, grown)


def deepr(net):
    """DeepR: noise; what has changed its sign since the last step goes, and as many grow."""
    net.begin()
    dsr_kernels.add_noise_(net.weights, net.mask, net.scale, seed=SEED, counter=net.number)
    pruned, _, _ = dsr_kernels.prune_sign_flips_(net.weights, net.mask, net.positive, net.negative)
    grown = dsr_kernels.grow_random_(
        net.mask, net.previous, pruned, seed=SEED, reallocation=net.number
    )
    net.note(pruned, grown)


def some_of(active):
    """A fifth of each count, rounded up, on the device."""
    return (active * FRACTION + (1 << 32) - 1) >> 32


STEPS = {
    "dsr": dsr, "set": set_, "rigl": rigl, "exact": exact, "momentum": momentum, "deepr": deepr,
}  # fmt: skip
