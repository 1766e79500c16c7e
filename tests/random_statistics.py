"""Tests of k-of-n draws without replacement, each a number of standard deviations.

A draw of k distinct places of n includes each with probability p = k / n; inclusions of one draw
are correlated, so Pearson's statistic is corrected by (n - 1) / (n (1 - p)).
"""

import math

import torch

from dsr_kernels.reference.bijection import domain_bits, feistel
from dsr_kernels.reference.philox import random_words

LIMIT = 5  # standard deviations


def inclusion_z(draws, n):
    """How far the inclusion counts of the n places are from equal."""
    rounds, k = draws.shape
    p = k / n
    counts = torch.bincount(draws.reshape(-1), minlength=n).double()
    q = float((counts - rounds * p).square().sum()) * (n - 1) / (n * rounds * p * (1 - p))
    return (q - (n - 1)) / math.sqrt(2 * (n - 1))


def subsets_z(draws, n):
    """Chi-square over all subsets: for small n."""
    rounds, k = draws.shape
    cells = math.comb(n, k)
    counts = torch.bincount((1 << draws).sum(1), minlength=2**n)
    drawn = counts[counts > 0].double()
    expected = rounds / cells
    chi2 = float((drawn - expected).square().sum()) / expected + (cells - len(drawn)) * expected
    return (chi2 - (cells - 1)) / math.sqrt(2 * (cells - 1))


def first_pair_z(draws, n):
    """Chi-square over the n (n - 1) / 2 unordered pairs that ranks 0 and 1 can get."""
    return subsets_of_pairs_z(draws[:, 0], draws[:, 1], n)


def subsets_of_pairs_z(one, two, n):
    cells = n * (n - 1) // 2
    code = torch.minimum(one, two) * n + torch.maximum(one, two)
    counts = torch.bincount(code, minlength=n * n).double()
    expected = len(one) / cells
    empty = cells - int((counts > 0).sum())
    chi2 = float((counts[counts > 0] - expected).square().sum()) / expected + empty * expected
    return (chi2 - (cells - 1)) / math.sqrt(2 * (cells - 1))


def contrast_z(draws, members):
    """How far the draws' share in the places ``members`` (bool [n]) is from theirs in all n."""
    rounds, k = draws.shape
    n, share = len(members), float(members.double().mean())
    excess = float(members[draws].sum()) - rounds * k * share
    return excess / math.sqrt(rounds * k * share * (1 - share) * (n - k) / (n - 1))


def overlap_z(draws, others, n):
    """How far the common places of corresponding draws are from k^2 / n on average."""
    rounds, k = draws.shape
    member = torch.zeros(rounds, n, dtype=torch.bool).scatter_(1, draws, True)
    common = float(member.gather(1, others).sum())
    variance = k * (k / n) * (1 - k / n) * (n - k) / (n - 1)
    return (common - rounds * k * k / n) / math.sqrt(rounds * variance)


def draw(n, k, rounds, seed=0, layer=0, purpose=1, spoil=lambda keys: keys):
    """Places of ranks 0..k-1 among n in reallocations 0..rounds-1: int64 [rounds, k]."""
    numbers = torch.arange(rounds).view(rounds, 1)
    keys = random_words(torch.arange(3).view(1, 3), seed, purpose, layer, numbers)
    keys = spoil(keys.view(rounds, 12)).T
    bits = domain_bits(n)
    places = feistel(torch.arange(k).expand(rounds, k), bits, keys.unsqueeze(2))
    rows, ranks = (places >= n).nonzero(as_tuple=True)
    while len(rows):
        again = feistel(places[rows, ranks], bits, keys[:, rows])
        places[rows, ranks] = again
        rows, ranks = rows[again >= n], ranks[again >= n]
    return places
