"""Layouts, masks and schemas refuse what makes no sense, by name."""

import re

import pytest
import torch

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, SparseLayout
from dsr_kernels.schema import OpSchema
from dsr_kernels.testing import sample_inputs

LAYOUT = SparseLayout.of_elements([40, 3])
WORDS = torch.zeros(LAYOUT.words, dtype=torch.int32)
BITS = [torch.ones(40, dtype=torch.bool), torch.ones(3, dtype=torch.bool)]

BAD = {
    "a float size": (lambda: LayerShape(1.5), TypeError, "outer: expected an int, got 1.5"),
    "a bool size": (lambda: LayerShape(3, True), TypeError, "unit_size: expected an int, got True"),
    "a negative size": (lambda: LayerShape(-1), ValueError, "outer >= 0"),
    "units of nothing": (lambda: LayerShape(1, 0), ValueError, "unit_size >= 1"),
    "no inner size": (lambda: LayerShape(1, 1, 0), ValueError, "inner >= 1"),
    "too many units": (
        lambda: SparseLayout.of_elements([2_000_000_000, 1_000_000_001]),
        ValueError,
        "layers: 3000000001 units in all, more than",
    ),
    "words of int64": (lambda: BitMask(LAYOUT, WORDS.long()), TypeError, "words: expected int32"),
    "a word too few": (lambda: BitMask(LAYOUT, WORDS[1:]), ValueError, "words: expected a"),
    "words in rows": (lambda: BitMask(LAYOUT, WORDS.view(2, -1)), ValueError, "shape [2, 4]"),
    "words with gaps": (
        lambda: BitMask(LAYOUT, WORDS.repeat_interleave(2)[::2]),
        ValueError,
        "strides [2]",
    ),
    "bits of one layer": (
        lambda: BitMask.from_bools(LAYOUT, BITS[:1]),
        ValueError,
        "bits: expected 2 tensors, got 1",
    ),
    "bits as integers": (
        lambda: BitMask.from_bools(LAYOUT, [BITS[0], BITS[1].int()]),
        TypeError,
        "bits[1]: expected bool, got torch.int32",
    ),
    "bits of another layer": (
        lambda: BitMask.from_bools(LAYOUT, [BITS[0], BITS[0]]),
        ValueError,
        "bits[1]: expected shape [3], got [40]",
    ),
    "a backend left out": (
        lambda: OpSchema("op_", "() -> ()", backends=("cpu",), missing={"cuda": "later"}),
        ValueError,
        "op_: every backend is either built or missing",
    ),
    "a sample of no op": (lambda: sample_inputs("grow"), ValueError, "op: expected one of"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused_by_name(name):
    call, error, text = BAD[name]
    with pytest.raises(error, match=re.escape(text)):
        call()


def test_a_dimension_of_size_1_has_no_memory_order():
    tensor = torch.ones(6).as_strided((2, 1, 3), (1, 99, 2))
    mask = BitMask.zeros(SparseLayout.of_elements([6]))
    dsr_kernels.apply_mask_([tensor], mask)
    assert not tensor.any()
