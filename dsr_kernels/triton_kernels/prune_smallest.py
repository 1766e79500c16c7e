"""prune_smallest_ in Triton: the search for the k-th unit, then the pruning pass below it.

Six launches; see search.py and prune_pass.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dsr_kernels.triton_kernels.prune_pass import prune_pass
from dsr_kernels.triton_kernels.ranks import PRUNABLE
from dsr_kernels.triton_kernels.search import COUNTERS, Order, search
from dsr_kernels.workspace import counters


def prune_smallest_(
    weights: Sequence[Tensor],
    words: Tensor,
    table: Tensor,
    k: Tensor,
    per_layer: bool,
    zero: bool,
    keep_one: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    cut = k
    if weights:
        order = Order(PRUNABLE, largest=False, per_layer=per_layer)
        zeros = counters(words, "triton_search", len(k) * COUNTERS)
        cut = search("prune_smallest_", weights, words, words, table, k, order, zeros)
    return prune_pass(
        "prune_smallest_",
        weights,
        words,
        table,
        cut,
        ties=True,
        per_layer=per_layer,
        zero=zero,
        keep_one=keep_one,
    )
