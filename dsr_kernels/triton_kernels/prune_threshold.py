"""prune_threshold_ in Triton: one launch of the pruning pass; see prune_pass.py."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dsr_kernels.triton_kernels.prune_pass import prune_pass


def prune_threshold_(
    weights: Sequence[Tensor], words: Tensor, table: Tensor, threshold: Tensor, zero: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return prune_pass(
        "prune_threshold_",
        weights,
        words,
        table,
        threshold,
        ties=False,
        per_layer=False,
        zero=zero,
        keep_one=True,
    )
