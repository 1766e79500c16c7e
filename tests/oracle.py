"""The reallocation ops once more, in Python integers and lists, written without the package."""

import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

import numpy as np

NAN_KEY = 0x7FFFFFFF
INF_KEY = 0x7F800000


def float_key(value):
    if math.isnan(value):
        return NAN_KEY
    return struct.unpack("<I", struct.pack("<f", abs(value)))[0]


def float_of_key(key):
    return struct.unpack("<f", struct.pack("<I", key))[0]


@dataclass
class Layer:
    """A layer's (outer, unit_size, inner), its elements in memory order, a bit a unit."""

    shape: tuple[int, int, int]
    values: list[float]
    bits: list[bool]

    def elements(self, unit):
        _, size, inner = self.shape
        o, i = divmod(unit, inner)
        return [(o * size + u) * inner + i for u in range(size)]

    def key(self, unit):
        magnitudes = [abs(self.values[element]) for element in self.elements(unit)]
        if len(magnitudes) == 1:
            return float_key(magnitudes[0])
        sums = [np.float32(0)] * 32
        with np.errstate(over="ignore"):
            for u, magnitude in enumerate(magnitudes):
                sums[u % 32] = sums[u % 32] + np.float32(magnitude)
            for step in (16, 8, 4, 2, 1):
                for j in range(step):
                    sums[j] = sums[j] + sums[j + step]
            return float_key(float(sums[0] * (np.float32(1) / np.float32(len(magnitudes)))))

    def keys(self):
        return [self.key(unit) for unit in range(len(self.bits))]

    def zero(self, units):
        for unit in units:
            for element in self.elements(unit):
                self.values[element] = 0.0


def prune_threshold(layers, threshold, zero):
    limit = float_key(threshold)
    victims = []
    for layer in layers:
        keys = layer.keys()
        active = [u for u, bit in enumerate(layer.bits) if bit]
        gone = {u for u in active if keys[u] < limit}
        victims.append(spare_one(keys, active, gone))
    return finish_pruning(layers, victims, zero)


def prune_smallest(layers, k, per_layer, zero, keep_one):
    everything = [layer.keys() for layer in layers]
    victims = [set() for _ in layers]
    for members, wanted in groups(layers, k, per_layer):
        prunable = [
            (everything[i][u], i, u)
            for i in members
            for u, bit in enumerate(layers[i].bits)
            if bit and everything[i][u] != NAN_KEY
        ]
        for _, i, u in sorted(prunable)[: max(0, wanted)]:
            victims[i].add(u)
    if keep_one:
        for i, layer in enumerate(layers):
            active = [u for u, bit in enumerate(layer.bits) if bit]
            victims[i] = spare_one(everything[i], active, victims[i])
    return finish_pruning(layers, victims, zero)


def prune_sign_flips(layers, positive, negative, zero):
    """``positive`` and ``negative`` are lists of bits a layer, rewritten in place."""
    victims = []
    for layer, above, below in zip(layers, positive, negative, strict=True):
        active = [u for u, bit in enumerate(layer.bits) if bit]
        values = layer.values
        gone = {u for u in active if (above[u] and values[u] < 0) or (below[u] and values[u] > 0)}
        kept = set(active) - gone
        above[:] = [u in kept and value > 0 for u, value in enumerate(values)]
        below[:] = [u in kept and value < 0 for u, value in enumerate(values)]
        victims.append(gone)
    return finish_pruning(layers, victims, zero)


def spare_one(keys, active, gone):
    if active and len(gone) == len(active):
        gone = gone - {max(active, key=lambda u: (keys[u], -u))}
    return gone


def finish_pruning(layers, victims, zero):
    nonfinite = [
        sum(bit and layer.key(u) >= INF_KEY for u, bit in enumerate(layer.bits)) for layer in layers
    ]
    for layer, gone in zip(layers, victims, strict=True):
        for u in gone:
            layer.bits[u] = False
        if zero:
            layer.zero(gone)
    return [len(gone) for gone in victims], [sum(layer.bits) for layer in layers], nonfinite


def groups(layers, k, per_layer):
    if per_layer:
        return [([i], wanted) for i, wanted in enumerate(k)]
    return [(range(len(layers)), k[0])]


def in_order(keys, candidates, largest):
    """Unit numbers by key and then by index, a NaN last."""
    if not largest:
        return sorted(candidates, key=lambda u: (keys[u], u))
    return sorted(candidates, key=lambda u: (keys[u] == NAN_KEY, -keys[u], u))


def kth_magnitude(layers, k, active, largest, per_layer):
    """(select, shortfall, nonfinite) and the set of units chosen in each row."""
    select, shortfall, chosen = [], [], []
    for members, wanted in groups(layers, k, per_layer):
        keys = list(chain.from_iterable(layers[i].keys() for i in members))
        bits = [bit for i in members for bit in layers[i].bits]
        order = in_order(keys, [u for u, bit in enumerate(bits) if bit == active], largest)
        chosen.append(set(order[: max(0, wanted)]))
        shortfall.append(max(0, wanted - len(order)))
        if not chosen[-1]:
            select.append([NAN_KEY, 0] if largest else [0, 0])
            continue
        last = order[len(chosen[-1]) - 1]
        key = -1 if largest and keys[last] == NAN_KEY else keys[last]
        select.append([key, last + 1])
    nonfinite = [
        sum(
            key >= INF_KEY
            for key, bit in zip(layer.keys(), layer.bits, strict=True)
            if bit == active
        )
        for layer in layers
    ]
    return select, shortfall, nonfinite, chosen


def allocate_growth(pruned, shares, capacity, threshold, lower, upper):
    """(grown, the new threshold)."""
    total = sum(pruned)
    if threshold is not None:
        if total > upper:
            threshold /= 2
        elif total < lower:
            threshold *= 2
        threshold = min(max(threshold, 2.0**-126), 2.0**126)
    grown = [0] * len(pruned)
    for place in (capacity, pruned):
        room, left = list(place), total - sum(grown)
        while left and any(room):
            take = one_round(left, shares, room)
            left -= sum(take)
            room = [r - t for r, t in zip(room, take, strict=True)]
            grown = [g + t for g, t in zip(grown, take, strict=True)]
    return grown, threshold


def one_round(left, shares, room):
    weights = [s if r else 0 for s, r in zip(shares, room, strict=True)]
    if not any(weights):
        weights = room
    exact = [Fraction(left * w, sum(weights)) for w in weights]
    quotas = [math.floor(e) for e in exact]
    by_remainder = sorted(range(len(room)), key=lambda i: (quotas[i] - exact[i], i))
    for i in by_remainder[: left - sum(quotas)]:
        quotas[i] += 1
    return [min(q, r) for q, r in zip(quotas, room, strict=True)]


def grow_largest(layers, previous, counts, per_layer):
    """``previous`` holds the bits before pruning; the values of ``layers`` are the scores."""
    grown = [0] * len(layers)
    for members, wanted in groups(layers, counts, per_layer):
        units = [(i, u) for i in members for u in range(len(layers[i].bits))]
        keys = [layers[i].key(u) for i, u in units]
        for just_pruned in (False, True):
            places = [
                n
                for n, (i, u) in enumerate(units)
                if not layers[i].bits[u] and previous[i][u] == just_pruned
            ]
            for n in in_order(keys, places, largest=True)[: max(0, wanted)]:
                i, u = units[n]
                layers[i].bits[u] = True
                grown[i] += 1
                wanted -= 1
    return grown


def layer_mean(layers):
    magnitudes = []
    for layer in layers:
        keys = [key for key, bit in zip(layer.keys(), layer.bits, strict=True) if bit]
        magnitudes.append([Fraction(float_of_key(k)) if k < INF_KEY else 0 for k in keys])
    largest = max((m for layer in magnitudes for m in layer), default=0)
    if not largest:
        return [0] * len(layers)
    scale = Fraction(2) ** (31 - math.frexp(float(largest))[1])
    return [
        sum(math.floor(m * scale) for m in layer) // len(layer) if layer else 0
        for layer in magnitudes
    ]


def reset_state(layers, before):
    for layer, bits in zip(layers, before, strict=True):
        layer.zero([u for u, bit in enumerate(layer.bits) if bit != bits[u]])
