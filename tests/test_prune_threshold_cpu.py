"""prune_threshold_ in C++ gives the bits of the reference."""

import torch
from native_cases import cases, check_cpu

import dsr_kernels

THRESHOLDS = (0.0, 1e-45, 1e-39, 0.25, 0.3, 1.0, 4.0, float("inf"))


def test_equals_the_reference():
    for case in cases(3000, seed=1):
        threshold = torch.tensor([case.random.choice(THRESHOLDS)])
        zero = case.random.random() < 0.7
        check_cpu(
            case,
            lambda c, threshold=threshold, zero=zero: dsr_kernels.prune_threshold_(
                c.tensors, c.mask, threshold, zero=zero
            ),
        )


def test_nan_threshold():
    """Outside the contract, yet every backend reads it as the largest key."""
    for case in cases(100, seed=2, large=2):
        check_cpu(
            case,
            lambda c: dsr_kernels.prune_threshold_(c.tensors, c.mask, torch.tensor([torch.nan])),
        )
