"""Training on a GPU: the host runs ahead of it, and errors come when it meets them again."""

import pytest
import torch
from nets import METHODS, OPTIMIZERS, assert_promises, assert_same, batch, make_sparse, mlp, train
from torch import nn

import dsr

PERIOD = 3  # of the methods in METHODS that have one


class Loop:
    """A model, its sparsifier and optimizer, and batches that are on the device already."""

    def __init__(self, method, device, steps):
        self.model = mlp(device=device)
        self.sparse = make_sparse(self.model, METHODS[method], total_steps=100)
        self.optimizer = OPTIMIZERS["nesterov"](self.model.parameters())
        self.sparse.attach(self.optimizer)
        self._batches = iter([batch(self.model, step) for step in range(steps)])

    def step(self, times=1, after_backward=lambda: None):
        for _ in range(times):
            x, y = next(self._batches)
            self.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.model(x), y) + self.sparse.penalty()
            loss.backward()
            after_backward()
            self.optimizer.step()

    def poison(self, value):
        """Put ``value`` in two active places of the second layer."""
        places = self.sparse.masks()["2.weight"].flatten().nonzero().flatten()[:2]
        with torch.no_grad():
            self.model[2].weight.view(-1)[places] = value


@pytest.mark.parametrize("method", METHODS)
def test_a_step_never_waits(method, device, request):
    loop = Loop(method, device, 4 * PERIOD)
    loop.step(2 * PERIOD)  # loads kernels and makes tables
    request.getfixturevalue("no_waits")
    loop.step(2 * PERIOD)
    torch.cuda.set_sync_debug_mode("default")
    assert_promises(loop.model, loop.sparse)
    assert loop.sparse.stats().step == 4 * PERIOD


def test_what_a_reallocation_found_comes_with_a_later_step(device):
    loop = Loop("dsr", device, 2 * PERIOD)
    loop.step(PERIOD - 1)
    loop.step(after_backward=lambda: loop.poison(torch.inf))
    assert loop.sparse.step == PERIOD
    torch.cuda.synchronize()
    with pytest.raises(dsr.NonFiniteError, match=r"2\.weight: 2\b"):
        loop.step()
    assert_promises(loop.model, loop.sparse)


def test_the_host_meets_an_error_that_it_never_asks_for(device):
    """Its counts are waited for once more than NonFiniteWatch.AHEAD reallocations follow."""
    loop = Loop("deepr", device, 40)
    loop.step()
    loop.poison(torch.nan)
    with pytest.raises(dsr.NonFiniteError, match=r"2\.weight: \d+"):
        loop.step(30)
    assert loop.sparse.step <= 20


def on_cpu(masks):
    return {name: mask.cpu() for name, mask in masks.items()}


@pytest.mark.parametrize("distribution", ["uniform", "erdos-renyi-kernel"])
def test_the_first_masks_are_those_of_a_cpu(distribution, device):
    there, here = (
        dsr.sparsify(mlp(device=place), dsr.Static(0.8), distribution=distribution, seed=5)
        for place in (device, "cpu")
    )
    assert_same(on_cpu(there.masks()), here.masks())


def test_a_model_may_move_once_it_is_sparse(device):
    model = mlp()
    sparse = make_sparse(model, METHODS["dsr"], total_steps=100)
    model.to(device)
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparse.attach(optimizer)
    train(model, sparse, optimizer, 2 * PERIOD, each=lambda _: assert_promises(model, sparse))
    assert sparse.stats().reallocations == 2
    assert {mask.device.type for mask in sparse.masks().values()} == {device.type}


def test_a_state_is_taken_over_on_a_cpu_and_back(device):
    loop = Loop("dsr", device, 2 * PERIOD)
    loop.step(2 * PERIOD)
    model = mlp()
    sparse = make_sparse(model, METHODS["dsr"], total_steps=100)
    for one, other in ((sparse, loop.sparse), (Loop("dsr", device, 0).sparse, sparse)):
        one.load_state_dict(other.state_dict())
        assert_same(on_cpu(one.masks()), on_cpu(loop.sparse.masks()))
        assert one.stats().threshold == loop.sparse.stats().threshold
