"""Tile lists are found once for a mask that stays as it is, and anew for one that has moved."""

import gc
import weakref

import pytest
import torch
from product_cases import Case

import dsr_kernels
from dsr_kernels import BitMask, SparseLayout, masked_linear, workspace
from dsr_kernels.triton_kernels import tile_lists


@pytest.fixture
def finds(monkeypatch):
    """The structures that were looked for."""
    found, find = [], tile_lists._find

    def counted(weight, words, units, structure, block):
        found.append(structure)
        return find(weight, words, units, structure, block)

    monkeypatch.setattr(tile_lists, "_find", counted)
    return found


def owner(mask):
    """What the lists are kept with: the words, or what they are a view of, as between canaries."""
    return mask.words if mask.words._base is None else mask.words._base


def lists(mask, layer=0, structure="tiles", block=(4, 4), shape=(8, 8)):
    units = [mask.layout.layers[layer].units, 1, 1]
    words = mask.layer_words(layer)
    return tile_lists.lists_of(torch.empty(shape), words, units, structure, block)


def mask_of(layers=1):
    return BitMask.zeros(SparseLayout.of_elements([64] * layers))


def activate(mask, layer, count=1):
    counts = torch.zeros(len(mask.layout), dtype=torch.int64)
    counts[layer] = count
    number = torch.ones(1, dtype=torch.int64)
    dsr_kernels.grow_random_(mask, mask.clone(), counts, seed=0, reallocation=number)


def test_a_mask_that_stays_is_looked_at_once(finds):
    mask = mask_of()
    first = lists(mask)
    assert lists(mask) is first
    assert finds == ["tiles"]


def test_a_mask_that_moves_is_followed(finds):
    mask = mask_of(layers=2)
    assert not lists(mask, 1).occupied.any()
    activate(mask, 1)
    assert lists(mask, 1).counts.sum() == 1
    mask.words.copy_(mask_of(layers=2).words)
    assert lists(mask, 1).counts.sum() == 0
    assert len(finds) == 3
    (kept,) = (tile_lists._kept[owner(mask)],)
    assert len(kept) == 1  # what was found before has gone


def test_layers_tiles_and_structures_are_told_apart(finds):
    mask = mask_of(layers=2)
    activate(mask, 1, 64)
    assert lists(mask, 0).counts.sum() == 0
    assert lists(mask, 1).counts.sum() == 4
    assert lists(mask, 1, block=(8, 8)).counts.sum() == 1
    assert lists(mask, 1, shape=(4, 16)).counts.tolist() == [4]
    assert lists(mask, 1, structure="channels").ordered
    assert len(finds) == 5


@pytest.mark.parametrize("structure", ["tiles", "channels"])
def test_what_is_kept_is_freed_with_the_mask(structure):
    mask = mask_of()
    found = weakref.ref(lists(mask, structure=structure).steps)
    gc.collect()
    assert found() is not None
    del mask
    gc.collect()
    assert found() is None


def test_nothing_is_kept_while_a_graph_is_captured(finds, monkeypatch):
    mask = mask_of()
    monkeypatch.setattr(tile_lists, "is_capturing", lambda device: True)
    assert lists(mask) is not lists(mask)
    assert len(finds) == 2
    assert owner(mask) not in tile_lists._kept


def test_a_mask_that_a_graph_moves_is_looked_at_each_time(finds, monkeypatch):
    mask, other = mask_of(), mask_of()
    lists(mask)
    with monkeypatch.context() as patch:
        patch.setattr(workspace, "is_capturing", lambda device: True)
        activate(mask, 0)
    lists(mask), lists(mask), lists(other), lists(other)
    assert len(finds) == 4


def test_a_mask_in_a_shared_buffer_that_a_graph_moves_is_looked_at_each_time(finds, monkeypatch):
    own = mask_of()
    buffer = torch.cat([own.words, own.words])
    mask = BitMask(own.layout, buffer[: own.words.numel()])
    lists(mask)
    with monkeypatch.context() as patch:
        patch.setattr(workspace, "is_capturing", lambda device: True)
        activate(mask, 0)
    lists(mask), lists(mask)
    assert len(finds) == 3


def test_words_without_a_version_are_not_kept(finds):
    with torch.inference_mode():
        mask = mask_of()
    lists(mask)
    lists(mask)
    assert len(finds) == 2


def test_a_step_looks_at_a_mask_once_for_each_product_and_again_when_it_has_moved(finds):
    case = Case((3, 64), (128, 64), sparsity=0.9)
    x, weight = case.x.requires_grad_(), case.weight.requires_grad_()
    looked = []
    for flags in (case.flags, case.flags, ~case.flags):
        if flags is not case.flags:
            moved = BitMask.from_bools(case.mask.layout, [flags.flatten()])
            case.mask.words.copy_(moved.words)
        with dsr_kernels.backend("triton"):
            output = masked_linear(x, weight, case.mask, structure="tiles")
            grads = torch.autograd.grad(output.sum(), (x, weight))
        assert torch.equal(grads[1] != 0, flags)
        looked.append(len(finds))
    assert 1 <= looked[0] <= 3
    assert looked[1] == looked[0]
    assert looked[2] == 2 * looked[0]
