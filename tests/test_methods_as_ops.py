"""One reallocation of each published method, as a sequence of ops and nothing else."""

import pytest
import torch

from dsr_kernels import (
    BitMask,
    LayerShape,
    SparseLayout,
    active_count,
    add_noise_,
    allocate_growth,
    apply_mask_,
    fraction_of,
    grow_largest_,
    grow_random_,
    layer_mean,
    prune_sign_flips_,
    prune_smallest_,
    prune_threshold_,
    reset_state_,
    tolerance_bounds,
)

ELEMENTS = SparseLayout.of_elements([600, 300, 40])
KERNELS = SparseLayout((LayerShape(40, 9), LayerShape(8, 9, 4), LayerShape(50)))


class Net:
    """A sparse net in the middle of training: weights, momentum and dense gradients."""

    def __init__(self, layout, device, sparsity=0.8, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def random_tensors():
            shapes = layout.layers
            return [torch.randn(s.elements, generator=generator).to(device) for s in shapes]

        self.sizes = torch.tensor([layer.units for layer in layout.layers], device=device)
        self.mask = BitMask.zeros(layout, device)
        self.number = torch.zeros(1, dtype=torch.int64, device=device)
        active = [active_count(layer.units, sparsity) for layer in layout.layers]
        counts = torch.tensor(active, device=device)
        random = {"seed": 1, "reallocation": self.number}
        grow_random_(self.mask, self.mask.clone(), counts, **random, purpose=0)
        self.weights, self.momentum, self.gradients = (random_tensors() for _ in range(3))
        apply_mask_(self.weights, self.mask)
        self.threshold = torch.full((1,), 0.25, device=device)
        self.random = random

    def free(self):
        return self.sizes - self.mask.counts()

    @property
    def budget(self):
        return int(self.mask.counts().sum())


def dsr(net, target, tolerance=0.1):
    previous, free = net.mask.clone(), net.free()
    lower, upper = tolerance_bounds(target, tolerance)
    pruned, surviving, _ = prune_threshold_(net.weights, net.mask, net.threshold)
    grown = allocate_growth(
        pruned, surviving, free, threshold=net.threshold, lower=lower, upper=upper
    )
    grow_random_(net.mask, previous, grown, **net.random)
    reset_state_(net.momentum, net.mask, previous)


def set_(net, fraction):
    previous = net.mask.clone()
    pruned, _, _ = prune_smallest_(net.weights, net.mask, fraction_of(net.mask.counts(), fraction))
    grow_random_(net.mask, previous, pruned, **net.random)
    reset_state_(net.momentum, net.mask, previous)


def sparse_momentum(net, fraction):
    shares = layer_mean(net.momentum, net.mask)
    k = fraction_of(net.mask.counts(), fraction)
    pruned, _, _ = prune_smallest_(net.weights, net.mask, k, zero=False)
    grown = allocate_growth(pruned, shares, net.free())
    grow_largest_(net.mask, net.mask.clone(), net.momentum, grown)
    apply_mask_(net.weights, net.mask)


def rigl(net, fraction):
    previous = net.mask.clone()
    k = fraction_of(net.mask.counts(), fraction)
    pruned, _, _ = prune_smallest_(net.weights, net.mask, k, zero=False)
    grow_largest_(net.mask, net.mask.clone(), net.gradients, pruned)
    apply_mask_(net.weights, net.mask)
    reset_state_(net.momentum, net.mask, previous)


def compressed(net, sparsity):
    layers = net.mask.layout.layers
    target = torch.tensor([active_count(layer.units, sparsity) for layer in layers])
    prune_smallest_(net.weights, net.mask, net.mask.counts() - target.to(net.mask.device))


def snip(net, budget):
    saliency = [(w * g).abs() for w, g in zip(net.weights, net.gradients, strict=True)]
    net.mask = BitMask.zeros(net.mask.layout, net.mask.device)
    count = net.sizes.new_tensor([budget])
    grow_largest_(net.mask, net.mask.clone(), saliency, count, per_layer=False)
    apply_mask_(net.weights, net.mask)
    return saliency


def take_signs(net):
    signs = [BitMask.zeros(net.mask.layout, net.mask.device) for _ in range(2)]
    prune_sign_flips_(net.weights, net.mask, *signs)
    return signs


def deep_r(net, rate, noise):
    signs = take_signs(net)
    scale = torch.full((len(net.weights),), noise, device=net.mask.device)
    apply_mask_(net.gradients, net.mask)
    add_noise_(net.gradients, net.mask, scale, seed=1, counter=net.number)
    for weight, gradient in zip(net.weights, net.gradients, strict=True):  # the optimizer's step
        weight -= rate * gradient
    previous = net.mask.clone()
    pruned, _, _ = prune_sign_flips_(net.weights, net.mask, *signs)
    grow_random_(net.mask, previous, pruned, **net.random)
    reset_state_(net.momentum, net.mask, previous)


def changed(net, before):
    """Units pruned and units grown since ``before``, in each layer."""
    pairs = list(zip(before.to_bools(), net.mask.to_bools(), strict=True))
    return [int((b & ~a).sum()) for b, a in pairs], [int((a & ~b).sum()) for b, a in pairs]


def check_zeros(net, before):
    """Inactive weights are +0.0, and so are grown ones with their momentum."""
    rows = zip(net.mask.to_elements(), before.to_elements(), net.weights, strict=True)
    for active, was_active, weight in rows:
        assert not weight[~active].view(torch.int32).any()
        assert not weight[active & ~was_active].view(torch.int32).any()


@pytest.mark.parametrize("layout", [ELEMENTS, KERNELS], ids=["elements", "kernels"])
def test_dsr_moves_the_budget_and_keeps_it(layout, device):
    net = Net(layout, device)
    for number in range(6):
        before, budget = net.mask.clone(), net.budget
        net.number.fill_(number)
        dsr(net, target=20)
        pruned, grown = changed(net, before)
        assert sum(pruned) == sum(grown) > 0
        assert net.budget == budget
        check_zeros(net, before)
        for weight in net.weights:  # training moves the active ones
            weight.add_(0.1 * torch.randn(weight.shape, device=device))
        apply_mask_(net.weights, net.mask)
    assert net.threshold.item() != 0.25


def test_dsr_on_kernels_moves_whole_slices(device):
    net = Net(KERNELS, device)
    dsr(net, target=20)
    slices = net.weights[0].view(40, 9)
    active = net.mask.to_bools()[0]
    assert int((slices != 0).any(1).sum()) <= int(active.sum())
    assert not slices[~active].any()


def test_set_keeps_every_layers_count(device):
    net = Net(ELEMENTS, device)
    before = net.mask.clone()
    set_(net, 0.3)
    expected = [-(-3 * count // 10) for count in before.counts().tolist()]
    assert changed(net, before) == (expected, expected)
    assert torch.equal(net.mask.counts(), before.counts())
    check_zeros(net, before)


def test_a_static_mask_only_masks(device):
    net = Net(ELEMENTS, device)
    before = net.mask.clone()
    net.weights = [torch.ones_like(weight) for weight in net.weights]
    apply_mask_(net.weights, net.mask)
    assert [int(weight.sum()) for weight in net.weights] == before.counts().tolist()


def test_sparse_momentum_grows_where_momentum_is(device):
    net = Net(ELEMENTS, device)
    before, old, budget = net.mask.clone(), [w.clone() for w in net.weights], net.budget
    net.momentum[1] *= 50
    sparse_momentum(net, 0.2)
    assert net.budget == budget
    assert int(net.mask.counts()[1]) > int(before.counts()[1])
    for weight, was, active in zip(net.weights, old, net.mask.to_bools(), strict=True):
        assert torch.equal(weight, was.where(active, 0.0))  # what grew back kept its value
    check_zeros(net, before)


def test_rigl_grows_by_gradient_and_lets_the_pruned_back(device):
    net = Net(ELEMENTS, device)
    before, old = net.mask.clone(), [w.clone() for w in net.weights]
    rigl(net, 0.3)
    assert torch.equal(net.mask.counts(), before.counts())
    pruned, grown = changed(net, before)
    assert pruned == grown
    assert sum(pruned) < sum(-(-3 * count // 10) for count in before.counts().tolist())
    for i, (active, was) in enumerate(zip(net.mask.to_bools(), before.to_bools(), strict=True)):
        assert torch.equal(net.weights[i], old[i].where(active, 0.0))
        assert not net.momentum[i][active != was].any()
        smallest = net.gradients[i][active & ~was].abs().min()
        assert smallest >= net.gradients[i][~active & ~was].abs().max()


def test_compressed_follows_its_schedule(device):
    net = Net(ELEMENTS, device, sparsity=0)
    for sparsity in ("0.5", "0.75", "0.9"):
        compressed(net, sparsity)
        assert net.mask.counts().tolist() == [active_count(n, sparsity) for n in (600, 300, 40)]
    assert [int((weight != 0).sum()) for weight in net.weights] == [60, 30, 4]


def test_snip_keeps_the_most_salient_of_all_layers(device):
    net = Net(ELEMENTS, device, sparsity=0)
    saliency = torch.cat(snip(net, 94))
    assert net.budget == 94
    chosen = torch.cat(net.mask.to_bools())
    assert saliency[chosen].min() >= saliency[~chosen].max()


def test_deep_r_moves_exactly_the_sign_flips(device):
    net = Net(ELEMENTS, device)
    before, old = net.mask.clone(), [weight.clone() for weight in net.weights]
    deep_r(net, rate=0.3, noise=2.0)
    pruned, grown = changed(net, before)
    assert pruned == grown
    assert sum(pruned) > 0
    rows = zip(before.to_bools(), net.mask.to_bools(), net.gradients, old, strict=True)
    for was, active, gradient, weight in rows:
        assert not gradient[~was].any()  # no noise there
        flipped = (weight - 0.3 * gradient) * weight < 0
        assert torch.equal(was & ~active, was & flipped)
    check_zeros(net, before)
