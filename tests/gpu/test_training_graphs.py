"""Whole training steps as CUDA graphs on a GPU, with `replayed` behind each replay."""

import pytest
import torch
from nets import METHODS, assert_promises, mlp

import dsr

WARM_UP = 3  # as torch's notes on CUDA graphs ask for, on a stream of its own


def captured(method, device):
    """A model, its sparsifier, and the graph of a step on a batch that stays the same."""
    model = mlp().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    sparse = dsr.sparsify(model, method, total_steps=100, seed=3, optimizer=optimizer)
    x, y = torch.randn(16, 12, device=device), torch.randint(4, (16,), device=device)

    def step():
        optimizer.zero_grad(set_to_none=False)
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    assert sparse.step == WARM_UP
    return model, sparse, graph


@pytest.mark.parametrize("name", ["dsr", "dsr-exact", "set", "sparse-momentum", "static"])
def test_replays_keep_the_promises_and_move_units(name, device):
    model, sparse, graph = captured(METHODS[name], device)
    first = sparse.masks()
    for number in range(1, 31):
        graph.replay()
        sparse.replayed()
        assert sparse.step == WARM_UP + number
        assert_promises(model, sparse)
    moved = any(not torch.equal(first[layer], mask) for layer, mask in sparse.masks().items())
    assert moved == (name != "static")


def test_replays_and_reallocations_never_wait(device):
    _, sparse, graph = captured(METHODS["dsr"], device)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(12):
            graph.replay()
            sparse.replayed()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert sparse.stats().reallocations >= 4


@pytest.mark.parametrize("name", ["rigl", "deepr"])
def test_steps_that_differ_are_refused(name, device):
    with pytest.raises(RuntimeError, match=r"in some steps"):
        captured(METHODS[name], device)
