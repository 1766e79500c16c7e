"""SNIP: a static mask chosen by one look at the loss."""

from __future__ import annotations

from dataclasses import dataclass

from dsr.methods.base import SparseMethod, register_method


@register_method("snip")
@dataclass(frozen=True)
class SNIP(SparseMethod):
    """SNIP: keep the weights whose removal would change the loss most, then train them.

    Source: Lee, Ajanthan and Torr, "SNIP: single-shot network pruning based on connection
    sensitivity", 2019. The saliency of a weight is \\|w dL/dw\\| on one batch; the largest over all
    layers stay, so a layer may end up empty.

    ``dsr.sparsify`` needs ``calibrate=``: a function that runs the model on a batch and returns
    the loss. It is called once. Across ranks the saliencies are summed once, so that every rank
    keeps the same weights.

    Args:
        sparsity: fraction of zeros over the sparse layers, in [0, 1).
        l1: coefficient of the L1 term in ``sparse.penalty()``.

    Public code measures on a copy with Glorot-normal weights; here the model's own are used. Ties,
    which that code may keep beyond its budget, go to the lowest index.
    """

    @property
    def needs_calibration(self) -> bool:
        return True
