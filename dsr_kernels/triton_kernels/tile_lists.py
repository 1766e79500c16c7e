"""Which tiles of a weight have an active one: found from the mask words when they have changed.

The version counter of the words says whether they have: every op that moves a mask raises it. What
is found is kept with the words and freed with them. The replay of a CUDA graph raises no counter,
so a graph that is captured looks at the mask itself, and so does every call once a graph was
captured that moves it. All of it stays on the device: lists have room for every tile.
"""

from __future__ import annotations

import math
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from dsr_kernels.triton_kernels.product_tuning import offset_type
from dsr_kernels.triton_kernels.weight_tiles import active_tile
from dsr_kernels.workspace import is_capturing, is_changed_by_a_graph


@dataclass(frozen=True)
class Lists:
    """Tiles of a weight [outs, ins] or [outs, ins, height, width], in blocks of outs by steps.

    A step is a block of ins; in a convolution's weight the steps of one place of the kernel
    follow those of the place before.

    Attributes:
        listed: whether there are lists; else every tensor is a stand-in that no kernel reads.
        ordered: whether rows and columns are taken in an order: those with an active weight first.
        steps: int32 [blocks of outs, steps], each row first the occupied ones.
        counts: int32 [blocks of outs], how many are occupied.
        occupied: int32 [blocks of outs, steps], 1 where a tile has an active weight.
        out_order, in_order: int32 [outs], [ins].
    """

    listed: bool
    ordered: bool
    steps: Tensor
    counts: Tensor
    occupied: Tensor
    out_order: Tensor
    in_order: Tensor

    @property
    def pointers(self) -> tuple[Tensor, ...]:
        return self.steps, self.counts, self.out_order, self.in_order


# By a mask's words, then by layer, weight, tiles and stream: the version they were found at.
_kept: MutableMapping[Tensor, dict[Any, tuple[int, Lists]]] = WeakTensorKeyDictionary()


def lists_of(
    weight: Tensor, words: Tensor, units: Sequence[int], structure: str, block: tuple[int, int]
) -> Lists:
    """The lists for a weight of any dense strides, in tiles of ``block``.

    Args:
        weight: only its shape and strides are looked at.
        words, units: its mask.
        structure: "unstructured": no lists; "tiles"; "channels": rows and columns are put in order.
        block: sizes of a tile, of outs and of ins.
    """
    if structure == "unstructured":
        return Lists(False, False, *[words] * 5)
    owner = words._base
    # Compiled code makes tensors of the words that are views of none and count by themselves.
    if owner is None or owner.is_inference() or _moves_unseen(owner):
        return _find(weight, words, units, structure, block)
    # By stream: another one would not wait for the kernels that write the lists.
    stream = torch.cuda.current_stream(words.device).cuda_stream if words.is_cuda else 0
    shape = (*weight.shape, *weight.stride(), *units, *block)
    key = (words.storage_offset(), shape, structure, stream)
    kept = _kept.get(owner)
    if kept is None:
        kept = _kept[owner] = {}
    version, lists = kept.get(key, (-1, None))
    if lists is None or version != owner._version:
        version, lists = owner._version, _find(weight, words, units, structure, block)
        kept[key] = version, lists
    return lists


def _moves_unseen(owner: Tensor) -> bool:
    return is_capturing(owner.device) or is_changed_by_a_graph(owner)


def _find(
    weight: Tensor, words: Tensor, units: Sequence[int], structure: str, block: tuple[int, int]
) -> Lists:
    ordered = structure == "channels"
    occupied = torch.empty(_blocks(weight, block), dtype=torch.int32, device=words.device)
    # The stand-in for orders must not be the words: what is kept with them would keep them.
    orders = _orders(weight, words, units, block) if ordered else (occupied, occupied)
    _launch(weight, words, units, block, occupied, orders, ordered=ordered, lines=False)
    steps = torch.argsort(occupied, dim=1, descending=True, stable=True).int()
    counts = occupied.sum(1, dtype=torch.int32)
    return Lists(True, ordered, steps, counts, occupied, *orders)


def _orders(
    weight: Tensor, words: Tensor, units: Sequence[int], block: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Rows and columns with an active weight first, each in their own order."""
    outs, ins = weight.shape[:2]
    lines = torch.zeros(outs + ins, dtype=torch.int32, device=words.device)
    any_out, any_in = lines[:outs], lines[outs:]
    _launch(weight, words, units, block, words, (any_out, any_in), ordered=False, lines=True)
    first, second = (
        torch.argsort(line, descending=True, stable=True).int() for line in (any_out, any_in)
    )
    return first, second


def _blocks(weight: Tensor, block: tuple[int, int]) -> tuple[int, int]:
    taps = math.prod(weight.shape[2:])
    return triton.cdiv(weight.shape[0], block[0]), taps * triton.cdiv(weight.shape[1], block[1])


def _launch(
    weight: Tensor,
    words: Tensor,
    units: Sequence[int],
    block: tuple[int, int],
    occupied: Tensor,
    per_line: tuple[Tensor, Tensor],
    *,
    ordered: bool,
    lines: bool,
) -> None:
    blocks_o, steps = _blocks(weight, block)
    kernel_w, stride_h, stride_w = 1, 0, 0
    if weight.dim() == 4:
        kernel_w, (stride_h, stride_w) = weight.shape[3], weight.stride()[2:]
    with torch.cuda.device_of(words):
        occupancy_kernel[(blocks_o * steps,)](
            words,
            occupied,
            *per_line,
            *weight.shape[:2],
            *weight.stride()[:2],
            stride_h,
            stride_w,
            kernel_w,
            steps,
            units[1],
            units[2],
            GROUPED=units[1] > 1,
            ORDERED=ordered,
            LINES=lines,
            OFFSET=offset_type(units),
            BLOCK_O=block[0],
            BLOCK_I=block[1],
            num_warps=8,
        )


@triton.jit
def occupancy_kernel(
    words_ptr, occupied_ptr, out_ptr, in_ptr, outs, ins, stride_o, stride_i,
    stride_h, stride_w, kernel_w, steps, unit_size, inner,
    GROUPED: tl.constexpr, ORDERED: tl.constexpr, LINES: tl.constexpr, OFFSET: tl.constexpr,
    BLOCK_O: tl.constexpr, BLOCK_I: tl.constexpr,
):  # fmt: skip
    """LINES: 1 to every row (out_ptr) and column (in_ptr) that has an active weight; else 1 to
    every tile that has one, of rows and columns in the order that out_ptr and in_ptr hold."""
    blocks_i = tl.cdiv(ins, BLOCK_I)
    step = tl.program_id(0) % steps
    tap = step // blocks_i
    base = (tap // kernel_w).to(OFFSET) * stride_h + tap % kernel_w * stride_w
    out = tl.program_id(0) // steps * BLOCK_O + tl.arange(0, BLOCK_O)
    column = step % blocks_i * BLOCK_I + tl.arange(0, BLOCK_I)
    out_inside, column_inside = out < outs, column < ins
    row, place = out, column
    if ORDERED:
        row = tl.load(out_ptr + out, mask=out_inside, other=0)
        place = tl.load(in_ptr + column, mask=column_inside, other=0)
    offsets = (base + row.to(OFFSET) * stride_o)[:, None] + (place.to(OFFSET) * stride_i)[None, :]
    inside = out_inside[:, None] & column_inside[None, :]
    active = active_tile(words_ptr, offsets, inside, unit_size, inner, GROUPED).to(tl.int32)
    if LINES:
        in_row, in_column = tl.max(active, 1), tl.max(active, 0)
        tl.atomic_or(out_ptr + out, in_row, mask=out_inside & (in_row != 0))
        tl.atomic_or(in_ptr + column, in_column, mask=column_inside & (in_column != 0))
    else:
        tl.store(occupied_ptr + tl.program_id(0), tl.max(tl.max(active, 1), 0))
