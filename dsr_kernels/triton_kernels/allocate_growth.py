"""allocate_growth in Triton: adapts the threshold, then splits the pruned units over the layers.

One program, all layers in its registers. No product leaves an int64, because both of its factors
are at most 3e9. Sums of integers do not depend on their order, and equal remainders go to the
lower layer: the result is that of one thread going through the layers.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dsr_kernels.layout import MAX_TOTAL_UNITS

MOST = tl.constexpr(MAX_TOTAL_UNITS)
LOWEST_THRESHOLD = tl.constexpr(2.0**-126)
HIGHEST_THRESHOLD = tl.constexpr(2.0**126)
LAYERS_A_WARP = 128  # four a thread
MAX_WARPS = 32


@triton.jit
def _load_counts(counts_ptr, layer, layers):
    counts = tl.load(counts_ptr + layer, mask=layer < layers, other=0)
    return tl.minimum(tl.maximum(counts, 0), MOST)


@triton.jit
def _adapt(threshold_ptr, total, lower, upper):
    threshold = tl.load(threshold_ptr)
    changed = tl.where(total < lower, threshold * 2.0, threshold)
    threshold = tl.where(total > upper, threshold * 0.5, changed)
    # By comparison: a NaN is below everything here.
    threshold = tl.where(threshold >= LOWEST_THRESHOLD, threshold, LOWEST_THRESHOLD)
    threshold = tl.where(threshold <= HIGHEST_THRESHOLD, threshold, HIGHEST_THRESHOLD)
    tl.store(threshold_ptr, threshold)


@triton.jit
def _largest(values, number):
    """1 for each of the ``number`` largest values, int64; of equal ones the first come first."""
    highest = tl.max(values, axis=0)
    step = highest * 0 + 1
    while step <= highest // 2:
        step *= 2
    # The largest limit that so many values reach, from its highest bit on.
    limit = highest * 0
    while step > 0:
        reached = tl.sum((values >= limit + step).to(tl.int64), axis=0) >= number
        limit += tl.where(reached, step, 0)
        step //= 2
    above = (values > limit).to(tl.int64)
    ties = (values == limit).to(tl.int64)
    chosen = (ties > 0) & (tl.cumsum(ties, axis=0) <= number - tl.sum(above, axis=0))
    return above + chosen.to(tl.int64)


@triton.jit
def _split(remaining, shares, room):
    """Places for ``remaining`` units, in proportion to ``shares`` and at most ``room`` a layer.

    Returns them, and how many units found none.
    """
    taken = room * 0
    while (remaining > 0) & (tl.sum(room, axis=0) > 0):
        weights = tl.where(room > 0, shares, 0)
        weights = tl.where(tl.sum(weights, axis=0) > 0, weights, room)
        whole = tl.sum(weights, axis=0)
        products = weights * remaining
        quotas = products // whole
        left = remaining - tl.sum(quotas, axis=0)
        if left > 0:
            quotas += _largest(products - quotas * whole, left)
        take = tl.minimum(quotas, room)
        taken += take
        room -= take
        remaining -= tl.sum(take, axis=0)
    return taken, remaining


@triton.jit(do_not_specialize=["layers", "lower", "upper"])
def allocate_growth_kernel(
    threshold_ptr,  # float32 [1], or nothing
    pruned_ptr,  # int64 [layers], and the others too
    shares_ptr,
    capacity_ptr,
    grown_ptr,
    layers,
    lower,
    upper,
    ADAPTS: tl.constexpr,
    BLOCK: tl.constexpr,  # at least layers
):
    layer = tl.arange(0, BLOCK)
    pruned = _load_counts(pruned_ptr, layer, layers)
    shares = _load_counts(shares_ptr, layer, layers)
    capacity = _load_counts(capacity_ptr, layer, layers)
    total = tl.minimum(tl.sum(pruned, axis=0), MOST)
    if ADAPTS:
        _adapt(threshold_ptr, total, lower, upper)
    grown, left = _split(total, shares, capacity)
    regrown, left = _split(left, shares, pruned)
    tl.store(grown_ptr + layer, grown + regrown, mask=layer < layers)


def allocate_growth(
    threshold: Tensor, pruned: Tensor, shares: Tensor, capacity: Tensor, lower: int, upper: int
) -> Tensor:
    grown = torch.empty_like(pruned)
    layers = len(pruned)
    block = triton.next_power_of_2(max(layers, 1))
    with torch.cuda.device_of(pruned):
        allocate_growth_kernel[(1,)](
            threshold,
            pruned,
            shares,
            capacity,
            grown,
            layers,
            lower,
            upper,
            ADAPTS=threshold.numel() > 0,
            BLOCK=block,
            num_warps=min(max(block // LAYERS_A_WARP, 1), MAX_WARPS),
        )
    return grown
