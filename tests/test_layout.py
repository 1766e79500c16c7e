"""A layout and its table on a device belong together."""

import gc
import weakref

import torch

from dsr_kernels import LayerShape, SparseLayout


def test_a_layout_comes_back_from_its_table_and_from_a_copy():
    layout = SparseLayout((LayerShape(5, 9), LayerShape(0), LayerShape(2, 3, 4)))
    table = layout.table(torch.device("cpu"))
    assert SparseLayout.from_table(table) == layout
    copy = table.clone()
    assert SparseLayout.from_table(copy) == layout
    assert SparseLayout.from_table(copy) is SparseLayout.from_table(copy)


def test_a_layout_that_is_dropped_takes_its_table_along():
    layout = SparseLayout((LayerShape(5),))
    table = weakref.ref(layout.table(torch.device("cpu")))
    del layout
    gc.collect()
    assert table() is None
