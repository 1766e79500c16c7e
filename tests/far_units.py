"""Layers in which only a few units matter, the last ones: what a layer beyond 2**31 elements needs.

Every check states what must come out without computing it on tensors of the layer's size.
"""

import torch

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, SparseLayout
from dsr_kernels.reference.normal import standard_normal
from dsr_kernels.reference.philox import random_words

SMALL, LARGE = 0.25, 1.0
THRESHOLD = 0.5
QUARTER_KEY = 0x3E800000
PART = 1 << 28  # elements looked at together


class Far:
    """One float16 layer of a multiple of 128 units; ``units`` are the few that matter, sorted."""

    def __init__(self, elements, unit_size, device):
        self.device, self.unit_size = device, unit_size
        self.shape = LayerShape(elements // unit_size, unit_size)
        self.layout = SparseLayout((self.shape,))
        count = self.shape.units
        chosen = {17, count // 2, count - 1000, count - 2, count - 1}
        chosen |= {unit for unit in (2**31 - 1, 2**31, 2**31 + 3) if unit < count}
        self.units = sorted(chosen)

    def mask(self, *, others):
        """Every unit active if ``others``, and those that matter the other way round."""
        words = torch.full((self.layout.words,), -int(others), dtype=torch.int32)
        for unit in self.units:
            words[unit // 32] ^= (1 << unit % 32) - (1 << 32 if unit % 32 == 31 else 0)
        return BitMask(self.layout, words.to(self.device))

    def full(self, active):
        words = torch.full((self.layout.words,), -int(active), dtype=torch.int32)
        return BitMask(self.layout, words.to(self.device))

    def tensor(self, value, others, dtype=torch.float16):
        """A layer of ``others`` with ``value`` at the units that matter."""
        tensor = torch.full((self.shape.elements,), others, dtype=dtype, device=self.device)
        tensor.view(-1, self.unit_size)[self._index()] = value
        return tensor

    def chosen(self, tensor):
        """The elements of the units that matter."""
        return tensor.view(-1, self.unit_size)[self._index()].cpu()

    def _index(self):
        return torch.tensor(self.units, device=self.device)

    def int64(self, *values):
        return torch.tensor(values, device=self.device)


def nonzero(tensor):
    return sum(int(part.count_nonzero()) for part in tensor.split(PART))


def same_words(mask, expected):
    return torch.equal(mask.words, expected.words)


def apply_mask_(far):
    tensor = far.tensor(LARGE, LARGE)
    dsr_kernels.apply_mask_([tensor], far.mask(others=True))
    assert not far.chosen(tensor).any()
    assert nonzero(tensor) == far.shape.elements - len(far.units) * far.unit_size


def mask_and_count_(far):
    tensor = far.tensor(LARGE, torch.inf)
    counts = dsr_kernels.mask_and_count_([tensor], far.mask(others=True))
    assert int(counts) == far.shape.elements - len(far.units) * far.unit_size
    assert not far.chosen(tensor).any()


def prune_threshold_(far):
    tensor, mask = far.tensor(SMALL, LARGE), far.full(True)
    threshold = torch.tensor([THRESHOLD], device=far.device)
    pruned, surviving, _ = dsr_kernels.prune_threshold_([tensor], mask, threshold)
    check_pruned(far, tensor, mask, int(pruned), int(surviving))


def prune_smallest_(far):
    tensor, mask = far.tensor(SMALL, LARGE), far.full(True)
    k = far.int64(len(far.units))
    pruned, surviving, _ = dsr_kernels.prune_smallest_([tensor], mask, k)
    check_pruned(far, tensor, mask, int(pruned), int(surviving))


def check_pruned(far, tensor, mask, pruned, surviving):
    assert (pruned, surviving) == (len(far.units), far.shape.units - len(far.units))
    assert same_words(mask, far.mask(others=True))
    assert not far.chosen(tensor).any()
    assert nonzero(tensor) == surviving * far.unit_size


def kth_magnitude(far):
    tensor, mask = far.tensor(SMALL, LARGE), far.full(True)
    for k in (1, len(far.units) - 1, len(far.units)):
        select, shortfall, _ = dsr_kernels.kth_magnitude([tensor], mask, far.int64(k))
        assert select.tolist() == [[QUARTER_KEY, far.units[k - 1] + 1]]
        assert int(shortfall) == 0


def grow_random_(far):
    mask, count = far.mask(others=True), len(far.units)
    number = far.int64(3)
    for wanted in (2, count):
        before = mask.clone()
        grown = dsr_kernels.grow_random_(
            mask, before, far.int64(wanted), seed=1, reallocation=number
        )
        left = far.shape.units - int(mask.counts())
        assert int(grown) == (2 if wanted == 2 else count - 2)
        assert left == (count - 2 if wanted == 2 else 0)


def grow_largest_(far):
    scores = far.tensor(SMALL, 0.0)
    scores[-far.unit_size :] = LARGE
    mask = far.full(False)
    grown = dsr_kernels.grow_largest_(mask, far.full(False), [scores], far.int64(len(far.units)))
    assert int(grown) == len(far.units)
    assert same_words(mask, far.mask(others=False))


def layer_mean(far):
    tensor, mask = far.tensor(SMALL, LARGE), far.mask(others=False)
    tensor[-far.unit_size :] = 2 * SMALL
    mean = dsr_kernels.layer_mean([tensor], mask)
    count = len(far.units)
    assert int(mean) == (2**30 + (count - 1) * 2**29) // count


def reset_state_(far):
    tensor = far.tensor(LARGE, LARGE)
    dsr_kernels.reset_state_([tensor], far.full(True), far.mask(others=True))
    assert not far.chosen(tensor).any()
    assert nonzero(tensor) == far.shape.elements - len(far.units) * far.unit_size


def add_noise_(far):
    tensor, mask = far.tensor(0.0, 0.0), far.mask(others=False)
    scale = torch.ones(1, device=far.device)
    dsr_kernels.add_noise_([tensor], mask, scale, seed=1, counter=far.int64(0), purpose=2)
    element = torch.tensor(far.units)[:, None] * far.unit_size + torch.arange(far.unit_size)
    drawn = random_words(element.flatten() // 4, 1, 2, 0, torch.zeros(1, dtype=torch.int64))
    words = drawn.view(-1, 4).gather(1, element.view(-1, 1) % 4)
    assert torch.equal(far.chosen(tensor).view(-1, 1), standard_normal(words).to(tensor.dtype))
    assert nonzero(tensor) == len(far.units) * far.unit_size


def prune_sign_flips_(far):
    tensor, mask = far.tensor(-LARGE, LARGE), far.full(True)
    positive, negative = far.full(True), far.full(False)
    pruned, surviving, _ = dsr_kernels.prune_sign_flips_([tensor], mask, positive, negative)
    check_pruned(far, tensor, mask, int(pruned), int(surviving))
    assert same_words(positive, mask)
    assert not negative.words.any()


CHECKS = {
    check.__name__: check
    for check in (
        apply_mask_, mask_and_count_, prune_threshold_, prune_smallest_, kth_magnitude,
        grow_random_, grow_largest_, layer_mean, reset_state_, add_noise_, prune_sign_flips_,
    )
}  # fmt: skip


def takes(op, unit_size):
    """Whether the op takes units of that size: a group has no sign."""
    return unit_size == 1 or op != "prune_sign_flips_"
