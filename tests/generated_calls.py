"""One call of every op with arguments drawn for a generated case, on whatever device it lies.

``CALLS[op](case)`` draws the arguments; the function it returns makes the call with a copy of the
case, and returns everything the op returns or changes besides the case's own tensors.
"""

import math

import torch
from native_cases import cases, unit_counts

import dsr_kernels
from dsr_kernels import BitMask

THRESHOLDS = (0.0, 1e-45, 1e-39, 0.25, 0.3, 1.0, 4.0, math.inf, math.nan)
SCALES = (0.0, 1e-42, 1e-3, 0.5, 1.0, 3e38, math.inf, math.nan)
SEEDS = (0, 7, 2**64 - 1, 0x9E3779B97F4A7C15)
NUMBERS = (0, 7, 2**32 + 3, -1, 2**63 - 1)
STARTS = (0.0, -0.0, -1.0, 1e-3, 2.0**-126, 2.0**126, 3e38, 1e-45, math.inf, math.nan)
LARGEST = 3 * 10**9


def _there(case, values, dtype=torch.int64):
    return torch.as_tensor(values, dtype=dtype).to(case.mask.device)


def _apply_mask(case):
    return lambda c: dsr_kernels.apply_mask_(c.tensors, c.mask)


def _prune_threshold(case):
    threshold, zero = case.random.choice(THRESHOLDS), case.random.random() < 0.7
    return lambda c: dsr_kernels.prune_threshold_(
        c.tensors, c.mask, _there(c, [threshold], torch.float32), zero=zero
    )


def _kth_magnitude(case):
    active, largest, per_layer = (case.random.random() < 0.5 for _ in range(3))
    k = unit_counts(case, per_layer)
    options = {"active": active, "largest": largest, "per_layer": per_layer}
    return lambda c: dsr_kernels.kth_magnitude(c.tensors, c.mask, _there(c, k), **options)


def _prune_smallest(case):
    per_layer, zero, keep_one = (case.random.random() < 0.5 for _ in range(3))
    k = unit_counts(case, per_layer)
    options = {"per_layer": per_layer, "zero": zero, "keep_one": keep_one}
    return lambda c: dsr_kernels.prune_smallest_(c.tensors, c.mask, _there(c, k), **options)


def _allocate_growth(case):
    rng = case.random
    layers = rng.choice((0, 1, 2, 3, 5, 9, 54, 161, 1000))
    vectors = [_large_counts(rng, layers) for _ in range(3)]
    total = sum(min(max(count, 0), LARGEST) for count in vectors[0])
    lower = rng.choice((0, total, total + 1, rng.randint(0, total + 1)))
    upper = rng.choice((2**63 - 1, total, max(0, total - 1), lower))
    start = rng.choice((None, rng.random(), *STARTS))

    def call(c):
        threshold = None if start is None else _there(c, [start], torch.float32)
        counts = [_there(c, vector) for vector in vectors]
        grown = dsr_kernels.allocate_growth(*counts, threshold=threshold, lower=lower, upper=upper)
        return grown if threshold is None else (grown, threshold)

    return call


def _large_counts(rng, layers):
    most = rng.choice((1, 3, 10, 1000, 10**6, 7 * 10**8, LARGEST, 2**62))
    rare = rng.choice((0, 1, most, -rng.randint(0, most)))
    chance = rng.choice((0.0, 0.2, 0.9))
    return [rare if rng.random() < chance else rng.randint(0, most) for _ in range(layers)]


def _grow_random(case):
    rng, counts = case.random, []
    for bits in case.previous.to_bools():
        units, free = len(bits), int((~bits).sum())
        few = rng.randint(0, max(1, free // 10))
        beyond = rng.randint(free, units + 3)
        counts.append(rng.choice((0, 1, few, few, free - 1, free, beyond, units, -5, 2**62)))
    seed, number = rng.choice(SEEDS), rng.choice(NUMBERS)
    purpose = rng.choice((0, 1, 2, 2**15 - 1))
    return lambda c: dsr_kernels.grow_random_(
        c.mask,
        c.previous,
        _there(c, counts),
        seed=seed,
        reallocation=_there(c, [number]),
        purpose=purpose,
    )


def _grow_largest(case):
    per_layer = case.random.random() < 0.5
    counts = unit_counts(case, per_layer)
    return lambda c: dsr_kernels.grow_largest_(
        c.mask, c.previous, c.tensors, _there(c, counts), per_layer=per_layer
    )


def _layer_mean(case):
    return lambda c: dsr_kernels.layer_mean(c.tensors, c.mask)


def _reset_state(case):
    layers = [i for i in range(len(case.layout)) for _ in range(case.random.choice((0, 1, 2)))]
    case.random.shuffle(layers)
    dtypes = [case.random.choice((torch.float64, torch.float32, torch.float16)) for _ in layers]

    def call(c):
        pairs = zip(layers, dtypes, strict=True)
        states = [c.tensors[layer].to(dtype) + 1 for layer, dtype in pairs]
        dsr_kernels.reset_state_(states, c.mask, c.previous, layers=layers)
        return tuple(states)

    return call


def _add_noise(case):
    scales = [case.random.choice(SCALES) for _ in case.layout.layers]
    seed, number = case.random.choice(SEEDS), case.random.choice(NUMBERS)
    purpose = case.random.choice((0, 2, 2**15 - 1))
    return lambda c: dsr_kernels.add_noise_(
        c.tensors,
        c.mask,
        _there(c, scales, torch.float32),
        seed=seed,
        counter=_there(c, [number]),
        purpose=purpose,
    )


def _prune_sign_flips(case):
    zero = case.random.random() < 0.7
    generator = torch.Generator().manual_seed(case.number)
    rows = [torch.rand(shape.units, generator=generator) < 0.5 for shape in case.layout.layers]

    def call(c):
        below = BitMask.from_bools(c.layout, rows).to(c.mask.device)
        counts = dsr_kernels.prune_sign_flips_(c.tensors, c.mask, c.previous, below, zero=zero)
        return (*counts, below.words)

    return call


CALLS = {
    "apply_mask_": _apply_mask,
    "prune_threshold_": _prune_threshold,
    "kth_magnitude": _kth_magnitude,
    "prune_smallest_": _prune_smallest,
    "allocate_growth": _allocate_growth,
    "grow_random_": _grow_random,
    "grow_largest_": _grow_largest,
    "layer_mean": _layer_mean,
    "reset_state_": _reset_state,
    "add_noise_": _add_noise,
    "prune_sign_flips_": _prune_sign_flips,
}


def generated(op, count, seed, large=4):
    """``count`` pairs of a case and a call of ``op``; prune_sign_flips_ takes no groups."""
    for case in cases(count, seed=seed, large=large, groups=op != "prune_sign_flips_"):
        yield case, CALLS[op](case)
