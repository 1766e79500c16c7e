"""Finds the k-th unit in the order of selection without a sort, for many groups of layers at once.

A candidate's rank is 32 bits, smaller first; among equal ranks the lower unit comes first. Four
launches count the digits of 8 bits, from the top, of the ranks whose upper digits are those of the
k-th; after each the group's last program chooses the digit and clears the counts. A fifth launch
finds the k-th unit among those of its rank; where all of them are selected and no one asks for the
unit, it does nothing.

Moves: the candidates and the mask once in for each launch. Counts are integers, so the order of
programs changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton.language as tl
from torch import Tensor

from dsr_kernels.chunks import chunks
from dsr_kernels.triton_kernels.digits import BINS, count_kernel
from dsr_kernels.triton_kernels.pointers import dtype_code, has_groups, layer_table
from dsr_kernels.triton_kernels.ranks import STATE
from dsr_kernels.triton_kernels.ties import tie_kernel
from dsr_kernels.triton_kernels.tuning import tuning

TILES = 8  # a chunk has so many blocks: the more, the less often bins are added up
SHIFTS = (24, 16, 8, 0)  # of the digits
COUNTERS = BINS.value + 1  # int32 a group: its bins, and how many programs have arrived

TIE_REGISTERS = 128  # a thread; ptxas would take fewer and spill


@dataclass(frozen=True)
class Order:
    """``among``: who the candidates are, of ``dsr_kernels.triton_kernels.ranks``."""

    among: tl.constexpr
    largest: bool
    per_layer: bool


def search(
    op: str,
    tensors: Sequence[Tensor],
    words: Tensor,
    previous: Tensor,
    table: Tensor,
    k: Tensor,
    order: Order,
    zeros: Tensor,
    outputs: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Tensor:
    """What is left of the search in each group: int64 [groups, STATE], see ranks.py.

    Args:
        op: whose tuning to use.
        previous: the other mask's words, where ``order`` asks for one.
        k: int64 [groups].
        zeros: int32 [groups * COUNTERS] zeros, which are zeros again afterwards.
        outputs: select, shortfall and nonfinite of kth_magnitude, the last one zeros.
    """
    config = tuning(op)
    plan = chunks(table, TILES * config.block)
    groups = k.numel()
    state = table.new_empty(groups, STATE.value)
    bins, arrived = zeros[: groups * BINS.value], zeros[groups * BINS.value : groups * COUNTERS]
    select, shortfall, nonfinite = outputs or (state, k.new_empty(groups), state)
    masks = (layer_table(tensors, table), words, previous, table, plan.layer, plan.first)
    options = {
        "PER_LAYER": order.per_layer,
        "AMONG": order.among.value,
        "LARGEST": order.largest,
        "GROUPS": has_groups(table),
        "DTYPE": dtype_code(tensors),
        "CHUNK": plan.chunk_units,
        "TILE": config.block,
        "num_warps": config.warps,
        "enable_fp_fusion": False,
    }
    with torch.cuda.device_of(words):
        for shift in SHIFTS:
            first = shift == SHIFTS[0]
            found = (k, state, bins, arrived, shortfall, nonfinite)
            count_kernel[(plan.number,)](
                *masks,
                *found,
                plan.number,
                shift,
                FIRST=first,
                NONFINITE=first and outputs is not None,
                **options,
            )
        equals = words.new_empty(plan.number)
        tie_kernel[(plan.number,)](
            *masks,
            state,
            arrived,
            equals,
            select,
            plan.number,
            SELECT=outputs is not None,
            maxnreg=TIE_REGISTERS,
            **options,
        )
    return state
