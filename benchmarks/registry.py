"""What is timed: every op by name, and sequences of ops that users pay for as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.case import Case, Target
from benchmarks.cases import (
    add_noise,
    allocate_growth,
    apply_mask,
    checkpoint,
    dsr_step,
    grow_largest,
    grow_random,
    kth_magnitude,
    layer_mean,
    mask_and_count,
    masked_conv2d,
    masked_linear,
    pack,
    packed_linear,
    prune_sign_flips,
    prune_smallest,
    prune_threshold,
    reset_state,
    unpack,
)
from benchmarks.shapes import Net


@dataclass(frozen=True)
class Entry:
    """How to build an op's case for a net, a sparsity and a device, and what it is to reach."""

    build: Callable[[Net, float, torch.device], Case]
    targets: tuple[Target, ...]


OPS: dict[str, Entry] = {
    "prune_threshold_": Entry(prune_threshold.case, prune_threshold.TARGETS),
    "kth_magnitude": Entry(kth_magnitude.case, kth_magnitude.TARGETS),
    "prune_smallest_": Entry(prune_smallest.case, prune_smallest.TARGETS),
    "allocate_growth": Entry(allocate_growth.case, allocate_growth.TARGETS),
    "grow_random_": Entry(grow_random.case, grow_random.TARGETS),
    "grow_largest_": Entry(grow_largest.case, grow_largest.TARGETS),
    "layer_mean": Entry(layer_mean.case, layer_mean.TARGETS),
    "reset_state_": Entry(reset_state.case, reset_state.TARGETS),
    "add_noise_": Entry(add_noise.case, add_noise.TARGETS),
    "prune_sign_flips_": Entry(prune_sign_flips.case, prune_sign_flips.TARGETS),
    "apply_mask_": Entry(apply_mask.case, apply_mask.TARGETS),
    "mask_and_count_": Entry(mask_and_count.case, mask_and_count.TARGETS),
    "masked_linear": Entry(masked_linear.case, masked_linear.TARGETS),
    "masked_conv2d": Entry(masked_conv2d.case, masked_conv2d.TARGETS),
    "pack": Entry(pack.case, pack.TARGETS),
    "unpack": Entry(unpack.case, unpack.TARGETS),
    "packed_linear": Entry(packed_linear.case, packed_linear.TARGETS),
    "dsr_step": Entry(dsr_step.case, dsr_step.TARGETS),
    "checkpoint_save": Entry(checkpoint.save_case, checkpoint.TARGETS),
    "checkpoint_load": Entry(checkpoint.load_case, checkpoint.TARGETS),
}
# Products through every layer of a net, which take minutes: timed where they are asked for. Layer
# by layer `python -m benchmarks.masked_products` times them.
PRODUCTS = ("masked_linear", "masked_conv2d", "packed_linear")
DEFAULT = tuple(op for op in OPS if op not in PRODUCTS)
