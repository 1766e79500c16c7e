"""Checks on every rank: a rank whose masks differ is named on all of them."""

import nets
import pytest
import torch
from ddp_masks import train_on_share
from modes import DEVICE
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

import dsr
from dsr.divergence import RankDivergenceError

PERIOD = 2


def trained(steps, tampered=(), group=None):
    """A network after ``steps`` steps, in which these ranks scaled some weights after the third."""
    model = nets.mlp(device=DEVICE)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method = dsr.SET(sparsity=0.5, prune_fraction=0.3, period=PERIOD, stop=None)
    sparse = dsr.sparsify(model, method, optimizer=optimizer, process_group=group)
    network = DistributedDataParallel(model)
    more = iter(range(steps, steps + 100))
    for step in range(steps):
        if step == 3 and distributed.get_rank() in tampered:
            with torch.no_grad():
                model[2].weight[:5] *= 1e-3
        train_on_share(network, optimizer, step)
    return sparse, lambda: train_on_share(network, optimizer, next(more))


def expected_error(odd):
    size = distributed.get_world_size()
    names = f"rank {odd[0]}" if len(odd) == 1 else f"ranks {', '.join(map(str, odd))}"
    others = "the majority" if 2 * (size - len(odd)) > size else "rank 0"
    return (
        f"after reallocation 2 the masks of {names} \\(of {size}\\) differ from those of {others}"
    )


def check_divergence_is_named_at_the_next_reallocation(folder):
    size = distributed.get_world_size()
    cases = [[1], [0], [1, 2]] if size == 4 else [[1]]
    for tampered in cases:
        sparse, step = trained(2 * PERIOD, tampered)
        step()
        with pytest.raises(RankDivergenceError, match=expected_error(tampered)):
            step()
        distributed.barrier()
        assert sparse.stats().reallocations == 2


def check_divergence_is_named_by_stats_and_state_dict(folder):
    for look in ("stats", "state_dict"):
        sparse, step = trained(2 * PERIOD, [1])
        with pytest.raises(RankDivergenceError, match=expected_error([1])):
            getattr(sparse, look)()
        step()


def check_ranks_outside_the_group_are_not_compared(folder):
    rank = distributed.get_rank()
    alone = distributed.new_group([rank], use_local_synchronization=True)
    sparse, step = trained(2 * PERIOD, [1], group=alone)
    step()
    step()
    assert sparse.stats().reallocations == 3
    others = distributed.new_group([0])
    if rank > 0:
        with pytest.raises((TypeError, ValueError), match="process_group: expected"):
            dsr.sparsify(nets.mlp(), dsr.Static(0.5), process_group=others)


def check_one_rank_may_look_alone(folder):
    """Only rank 0 asks, as loops do that log or save there; nobody waits for anybody."""
    sparse, step = trained(2 * PERIOD)
    if distributed.get_rank() == 0:
        assert sparse.stats().reallocations == 2
        sparse.state_dict()
    for _ in range(PERIOD):
        step()
    assert sparse.stats().reallocations == 3


def check_loading_drops_the_comparison(folder):
    healthy, _ = trained(2 * PERIOD)
    state = healthy.state_dict()
    sparse, step = trained(2 * PERIOD, [1])
    sparse.load_state_dict(state)
    sparse.stats()
    step()


def check_ranks_that_differ_from_the_start(folder):
    model = nets.mlp(device=DEVICE)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method = dsr.SET(sparsity=0.5, period=1, stop=None)
    rank = distributed.get_rank()
    sparse = dsr.sparsify(model, method, seed=int(rank == 1), optimizer=optimizer)
    train_on_share(DistributedDataParallel(model), optimizer, 0)
    with pytest.raises(RankDivergenceError, match="after reallocation 1 the masks"):
        sparse.stats()
