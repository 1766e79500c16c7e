"""Initial allocations: how many units of each layer start active. Exact integers, no floats."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from dsr_kernels import LayerShape, active_count

DISTRIBUTIONS = ("uniform", "erdos-renyi", "erdos-renyi-kernel")


def initial_counts(
    distribution: str,
    shapes: Sequence[Sequence[int]],
    layers: Sequence[LayerShape],
    sparsity: float,
) -> list[int]:
    """Active units of each layer at the start.

    Args:
        distribution: ``"uniform"`` gives every layer the same sparsity. ``"erdos-renyi"``
            (Mocanu et al., 2018) gives a layer of ``n_out x n_in`` connections a share of active
            weights proportional to ``n_out + n_in``, times the kernel's size.
            ``"erdos-renyi-kernel"`` (Evci et al., 2020) adds the kernel's sides to that sum.
        shapes: the weights' shapes, ``[out, in, *kernel]``.
        layers: the same layers as the masks see them.
        sparsity: fraction of inactive units over all layers, in [0, 1).

    Returns:
        One count a layer. Uniform: ``n - floor(sparsity n)`` in each. Erdos-Renyi: the counts sum
        to ``N - floor(sparsity N)`` by largest remainder; a layer that would exceed its size is
        full and the rest is scaled up to make room.

    Raises:
        ValueError: an unknown distribution or a sparsity outside [0, 1).
    """
    if distribution not in DISTRIBUTIONS:
        raise ValueError(
            f"distribution: expected one of {', '.join(DISTRIBUTIONS)}, got {distribution!r}"
        )
    units = [layer.units for layer in layers]
    if distribution == "uniform":
        return [active_count(n, sparsity) for n in units]
    weights = []
    for shape, n in zip(shapes, units, strict=True):
        sides = sum(shape) if distribution == "erdos-renyi-kernel" else sum(shape[:2])
        connections = (
            _product(shape) if distribution == "erdos-renyi-kernel" else _product(shape[:2])
        )
        weights.append(Fraction(sides * n, connections) if connections else Fraction(0))
    return _proportional(active_count(sum(units), sparsity), weights, units)


def _proportional(total: int, weights: list[Fraction], limits: list[int]) -> list[int]:
    """Split ``total`` in proportion to ``weights``, none above its limit, by largest remainder."""
    counts = [0] * len(limits)
    open_layers = [i for i, limit in enumerate(limits) if limit > 0]
    while open_layers:
        scale = Fraction(total) / sum(weights[i] for i in open_layers)
        full = [i for i in open_layers if scale * weights[i] >= limits[i]]
        if not full:
            break
        for i in full:
            counts[i] = limits[i]
            total -= limits[i]
        open_layers = [i for i in open_layers if i not in full]
    if not open_layers:
        return counts
    exact = {i: scale * weights[i] for i in open_layers}
    for i, share in exact.items():
        counts[i] = share.numerator // share.denominator
    left = total - sum(counts[i] for i in open_layers)
    by_remainder = sorted(open_layers, key=lambda i: (counts[i] - exact[i], i))
    for i in by_remainder[:left]:
        counts[i] += 1
    return counts


def _product(sizes: Sequence[int]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result
