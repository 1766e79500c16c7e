"""Checks on every rank: what is in ``.grad`` after a backward pass under DDP."""

import contextlib
import copy
import itertools
import warnings

import ddp_masks
import nets
import torch
from modes import DEVICE
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

import dsr

STEPS, ROWS = 3, 8
STATIC = dsr.Static(sparsity=0.5)


class Net(nn.Module):
    """Dense layers first and last, two sparse ones between, and perhaps one that is never used."""

    def __init__(self, unused=False, checkpointed=False):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(12, 12), nn.Linear(12, 40)
        self.third, self.last = nn.Linear(40, 30), nn.Linear(30, 4)
        self.unused = nn.Linear(30, 4) if unused else None
        self.checkpointed = checkpointed

    def forward(self, x):
        x = self.first(x)
        middle = self._middle
        x = checkpoint(middle, x, use_reentrant=True) if self.checkpointed else middle(x)
        return self.last(x)

    def _middle(self, x):
        return torch.relu(self.third(torch.relu(self.second(x))))


def assert_averaged_and_masked(net, method=STATIC, ddp_first=False, **options):
    """Compare with one process that sees the rows of all ranks."""
    net.to(DEVICE)
    exclude = ["first", "last"]
    sparse = dsr.sparsify(net, method, exclude=exclude, total_steps=100)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    alone = copy.deepcopy(net)
    alone._forward_pre_hooks.clear()
    alone.checkpointed = False
    if not ddp_first:
        sparse.attach(optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = DistributedDataParallel(net, **options)
    if ddp_first:
        sparse.attach(optimizer)
    masks, rank, size = sparse.masks(), distributed.get_rank(), distributed.get_world_size()
    for step in range(STEPS):
        x = torch.randn(size, ROWS, 12, generator=torch.Generator().manual_seed(step)).to(DEVICE)
        alone.load_state_dict(net.state_dict())
        alone.zero_grad()
        optimizer.zero_grad()
        network(x[rank]).square().mean().backward()
        alone(x.view(size * ROWS, 12)).square().mean().backward()
        for name, parameter in alone.named_parameters():
            found = net.get_parameter(name).grad
            if parameter.grad is None:
                assert found is None or not found.any(), name
                continue
            expected = parameter.grad
            if name in masks and method is STATIC:
                assert nets.is_positive_zero(found[~masks[name]]), (name, step)
                expected = expected.where(masks[name], 0)
            elif name in masks:
                assert found[~masks[name]].any(), name
            torch.testing.assert_close(found, expected)
            assert_same_on_all_ranks(found)
        optimizer.step()


def assert_same_on_all_ranks(tensor):
    every = [torch.empty_like(tensor) for _ in range(distributed.get_world_size())]
    distributed.all_gather(every, tensor.contiguous())
    assert all(torch.equal(every[0], one) for one in every)


def check_gradients(folder):
    for bucket_view, unused, static_graph in itertools.product([False, True], repeat=3):
        assert_averaged_and_masked(
            Net(unused=unused),
            ddp_first=unused != static_graph,
            gradient_as_bucket_view=bucket_view,
            find_unused_parameters=unused,
            static_graph=static_graph,
        )


def check_gradients_under_reentrant_checkpointing(folder):
    """Its passes within the pass, which reach all sparse weights, end before DDP's reduction."""
    for bucket_view, static_graph in itertools.product([False, True], repeat=2):
        assert_averaged_and_masked(
            Net(checkpointed=True), gradient_as_bucket_view=bucket_view, static_graph=static_graph
        )


def check_dense_gradients_where_growth_reads_them(folder):
    assert_averaged_and_masked(Net(), dsr.RigL(sparsity=0.5, period=1, prune_fraction=0.0))


def check_accumulation_equals_one_process(folder):
    """Four passes of each rank, reduced once, against all rows at once: exact, so bit for bit."""
    rank, size = distributed.get_rank(), distributed.get_world_size()
    found = {}
    for name, method in nets.METHODS.items():
        model, sparse, optimizer = ddp_masks.exact_sparse(method)
        sparse.attach(optimizer)
        network = DistributedDataParallel(model)
        for step in range(ddp_masks.STEPS):
            x, y = (part.chunk(size)[rank].chunk(4) for part in ddp_masks.exact_batch(step))
            optimizer.zero_grad()
            for i in range(4):
                with network.no_sync() if i < 3 else contextlib.nullcontext():
                    ((network(x[i]) * y[i]).sum() / (4 * len(x[i]))).backward()
            optimizer.step()
        found[name] = ddp_masks.digest(model, sparse)
    return found
