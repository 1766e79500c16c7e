"""Bad arguments to add_noise_ and prune_sign_flips_: named, and nothing changed."""

import re

import pytest
import torch
from public_calls import Net

import dsr_kernels
from dsr_kernels import BitMask, SparseLayout

K = dsr_kernels


def wrong_layout(n):
    return BitMask.zeros(SparseLayout.of_elements([3]), n.device)


def noise(n):
    return {"seed": 1, "counter": n.number}


# name of the case: (call, exception, text)
REJECTS = {
    "one scale too few": (
        lambda n: K.add_noise_(n.tensors, n.mask, n.scale[:2], seed=1, counter=n.number),
        ValueError,
        "scale: expected a contiguous tensor of shape [3], got [2]",
    ),
    "float64 noise": (
        lambda n: K.add_noise_([n.tensors[0].double()], n.mask, n.scale, **noise(n), layers=[0]),
        TypeError,
        "tensors[0]: expected dtype float32, bfloat16, float16, got torch.float64",
    ),
    "a counter of two numbers": (
        lambda n: K.add_noise_(n.tensors, n.mask, n.scale, seed=1, counter=n.counts[:2]),
        ValueError,
        "counter: expected a contiguous tensor of shape [1], got [2]",
    ),
    "a negative purpose of noise": (
        lambda n: K.add_noise_(n.tensors, n.mask, n.scale, **noise(n), purpose=-1),
        ValueError,
        "purpose: expected an int in [0, 2^15), got -1",
    ),
    "positive is mask": (
        lambda n: K.prune_sign_flips_(n.tensors, n.elements, n.elements, n.negative),
        ValueError,
        "positive: expected a mask of its own, got mask itself",
    ),
    "negative is positive": (
        lambda n: K.prune_sign_flips_(n.tensors, n.elements, n.positive, n.positive),
        ValueError,
        "negative: expected a mask of its own, got positive itself",
    ),
    "signs of another layout": (
        lambda n: K.prune_sign_flips_(n.tensors, n.elements, n.positive, wrong_layout(n)),
        ValueError,
        "negative: expected a mask of the same layout as mask",
    ),
    "signs of groups": (
        lambda n: K.prune_sign_flips_(n.tensors, n.mask, n.previous, n.previous),
        ValueError,
        "mask: expected units of single elements, a group has no sign; got units of 9",
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
