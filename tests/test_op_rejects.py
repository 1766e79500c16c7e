"""Bad arguments: an error that names the argument and what came, and nothing changed."""

import re

import pytest
import torch
from public_calls import LAYOUT, Net

import dsr_kernels
from dsr_kernels import BitMask, SparseLayout

K = dsr_kernels


def wrong_layout(n):
    return BitMask.zeros(SparseLayout.of_elements([3]), n.device)


def elsewhere(mask):
    return BitMask(mask.layout, mask.words.to("meta"))


# name of the case: (call, exception, text)
REJECTS = {
    "mask is a tensor": (
        lambda n: K.layer_mean(n.tensors, n.mask.words),
        TypeError,
        "mask: expected a BitMask, got Tensor",
    ),
    "one weight too few": (
        lambda n: K.prune_threshold_(n.tensors[:2], n.mask, n.threshold),
        ValueError,
        "weights: expected 3 tensors, one a layer, got 2",
    ),
    "a weight of another size": (
        lambda n: K.prune_smallest_([n.tensors[0]] * 3, n.mask, n.counts),
        ValueError,
        "weights[1]: expected 36 elements (layer 1), got shape [70]",
    ),
    "float64 weights": (
        lambda n: K.prune_threshold_([t.double() for t in n.tensors], n.mask, n.threshold),
        TypeError,
        "weights[0]: expected dtype float32, bfloat16, float16, got torch.float64",
    ),
    "float64 scores": (
        lambda n: K.grow_largest_(n.mask, n.previous, [t.double() for t in n.tensors], n.counts),
        TypeError,
        "scores[0]: expected dtype float32, bfloat16, float16, got torch.float64",
    ),
    "float64 tensors": (
        lambda n: K.kth_magnitude([t.double() for t in n.tensors], n.mask, n.counts),
        TypeError,
        "tensors[0]: expected dtype float32, bfloat16, float16, got torch.float64",
    ),
    "float64 momentum": (
        lambda n: K.layer_mean([t.double() for t in n.tensors], n.mask),
        TypeError,
        "tensors[0]: expected dtype float32, bfloat16, float16, got torch.float64",
    ),
    "a weight with gaps": (
        lambda n: K.layer_mean([n.tensors[0].repeat(2)[::2], *n.tensors[1:]], n.mask),
        ValueError,
        "tensors[0]: expected memory without gaps or overlaps",
    ),
    "an integer state": (
        lambda n: K.reset_state_([n.counts] * 3, n.mask, n.previous),
        TypeError,
        "states[0]: expected dtype",
    ),
    "a state of no layer": (
        lambda n: K.reset_state_([n.tensors[0]], n.mask, n.previous, layers=[5]),
        ValueError,
        "layers[0]: expected a layer in [0, 3), got 5",
    ),
    "a layer number that is none": (
        lambda n: K.reset_state_([n.tensors[0]], n.mask, n.previous, layers=[0.0]),
        TypeError,
        "layers[0]: expected an int, got 0.0",
    ),
    "threshold is a number": (
        lambda n: K.prune_threshold_(n.tensors, n.mask, 0.5),
        TypeError,
        "threshold: expected a tensor, got float",
    ),
    "threshold is float64": (
        lambda n: K.prune_threshold_(n.tensors, n.mask, n.threshold.double()),
        TypeError,
        "threshold: expected dtype torch.float32, got torch.float64",
    ),
    "k is int32": (
        lambda n: K.kth_magnitude(n.tensors, n.mask, n.counts.int()),
        TypeError,
        "k: expected dtype torch.int64, got torch.int32",
    ),
    "k for each layer where one is due": (
        lambda n: K.prune_smallest_(n.tensors, n.mask, n.counts, per_layer=False),
        ValueError,
        "k: expected a contiguous tensor of shape [1], got [3]",
    ),
    "one count where each layer has its own": (
        lambda n: K.grow_largest_(n.mask, n.previous, n.tensors, n.counts[:1]),
        ValueError,
        "counts: expected a contiguous tensor of shape [3], got [1]",
    ),
    "previous is mask": (
        lambda n: K.grow_random_(n.mask, n.mask, n.counts, seed=0, reallocation=n.number),
        ValueError,
        "previous: expected a mask of its own, got mask itself; pass a clone",
    ),
    "previous is mask for grow_largest_": (
        lambda n: K.grow_largest_(n.mask, n.mask, n.tensors, n.counts),
        ValueError,
        "previous: expected a mask of its own, got mask itself; pass a clone",
    ),
    "previous of another layout": (
        lambda n: K.grow_random_(n.mask, wrong_layout(n), n.counts, seed=0, reallocation=n.number),
        ValueError,
        "previous: expected a mask of the same layout as mask",
    ),
    "previous of another layout for reset_state_": (
        lambda n: K.reset_state_(n.tensors, n.mask, wrong_layout(n)),
        ValueError,
        "previous: expected a mask of the same layout as mask",
    ),
    "a seed below 0": (
        lambda n: K.grow_random_(n.mask, n.previous, n.counts, seed=-1, reallocation=n.number),
        ValueError,
        "seed: expected an int in [0, 2^64), got -1",
    ),
    "a seed above 64 bits": (
        lambda n: K.grow_random_(n.mask, n.previous, n.counts, seed=2**64, reallocation=n.number),
        ValueError,
        "seed: expected an int in [0, 2^64), got 18446744073709551616",
    ),
    "a float seed": (
        lambda n: K.grow_random_(n.mask, n.previous, n.counts, seed=1.0, reallocation=n.number),
        TypeError,
        "seed: expected an int, got float",
    ),
    "a purpose that is the fallback's": (
        lambda n: K.grow_random_(
            n.mask, n.previous, n.counts, seed=1, reallocation=n.number, purpose=2**15
        ),
        ValueError,
        "purpose: expected an int in [0, 2^15), got 32768",
    ),
    "reallocation is a number": (
        lambda n: K.grow_random_(n.mask, n.previous, n.counts, seed=1, reallocation=4),
        TypeError,
        "reallocation: expected a tensor, got int",
    ),
    "previous on another device": (
        lambda n: K.reset_state_(n.tensors, n.mask, elsewhere(n.previous)),
        ValueError,
        "previous: expected device ",
    ),
    "threshold on another device": (
        lambda n: K.prune_threshold_(n.tensors, n.mask, n.threshold.to("meta")),
        ValueError,
        "threshold: expected device ",
    ),
    "shares as a list": (
        lambda n: K.allocate_growth(n.counts, [1, 2, 3], n.counts),
        TypeError,
        "shares: expected a tensor, got list",
    ),
    "capacity on another device": (
        lambda n: K.allocate_growth(n.counts, n.counts, n.counts.to("meta")),
        ValueError,
        "capacity: expected device ",
    ),
    "shares of another length": (
        lambda n: K.allocate_growth(n.counts, n.counts[:2], n.counts),
        ValueError,
        "shares: expected a contiguous tensor of shape [3], got shape [2]",
    ),
    "float capacity": (
        lambda n: K.allocate_growth(n.counts, n.counts, n.counts.float()),
        TypeError,
        "capacity: expected dtype torch.int64, got torch.float32",
    ),
    "pruned is a list": (
        lambda n: K.allocate_growth([1, 2], n.counts, n.counts),
        TypeError,
        "pruned: expected an int64 tensor of shape [layers], got [1, 2]",
    ),
    "a negative bound": (
        lambda n: K.allocate_growth(n.counts, n.counts, n.counts, lower=-1),
        ValueError,
        "lower: expected a count in [0, 2^63), got -1",
    ),
    "a bound that is no int": (
        lambda n: K.allocate_growth(n.counts, n.counts, n.counts, upper=1.5),
        TypeError,
        "upper: expected an int, got float",
    ),
}


@pytest.mark.parametrize("case", REJECTS)
def test_rejected_by_name_with_nothing_changed(case, device):
    call, error, text = REJECTS[case]
    net = Net(device)
    before = [tensor.clone() for tensor in net.state()]
    with pytest.raises(error, match=re.escape(text)):
        call(net)
    for tensor, old in zip(net.state(), before, strict=True):
        assert torch.equal(tensor, old)
        assert tensor._version == 0


def test_meta_weights_are_refused_by_device(device):
    net = Net(device)
    weights = [torch.empty(layer.elements, device="meta") for layer in LAYOUT.layers]
    with pytest.raises(ValueError, match=r"weights\[0\]: expected device .* as mask, got meta"):
        K.prune_threshold_(weights, net.mask, net.threshold)
