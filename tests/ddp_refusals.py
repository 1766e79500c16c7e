"""Checks on two ranks: what shards parameters or optimizer state is refused by name."""

import nets
import pytest
import torch
from torch.distributed import device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel

import dsr

STATIC = dsr.Static(sparsity=0.5)


def check_fully_sharded_model(folder):
    mesh = device_mesh.init_device_mesh("cpu", (2,))
    whole = fully_shard(nets.mlp(), mesh=mesh)
    with pytest.raises(TypeError, match="model: expected the plain module, got FSDPModule"):
        dsr.sparsify(whole, STATIC)
    model = nets.mlp()
    fully_shard(model[2], mesh=mesh)
    with pytest.raises(TypeError, match=r"2\.weight: a sharded DTensor; FSDP is not supported"):
        dsr.sparsify(model, STATIC)
    for part in (lambda m: m, lambda m: m[2]):
        model = nets.mlp()
        sparse = dsr.sparsify(model, STATIC)
        fully_shard(part(model), mesh=mesh)
        with pytest.raises(TypeError, match="model: FSDP is not supported, got FSDPModule"):
            sparse.attach(torch.optim.SGD(model.parameters(), lr=0.1))


def check_model_in_fully_sharded_data_parallel(folder):
    for keep in (False, True):
        model = nets.mlp()
        sparse = dsr.sparsify(model, STATIC)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        whole = FullyShardedDataParallel(model, use_orig_params=keep, device_id=torch.device("cpu"))
        sharded = torch.optim.SGD(whole.parameters(), lr=0.1)
        with pytest.raises(TypeError, match="FSDP is not supported, and FullyShardedDataParallel"):
            sparse.attach(sharded)
        if not keep:  # the parameters it has replaced are no longer the model's
            with pytest.raises(RuntimeError, match=r"0\.weight: the parameter was replaced"):
                sparse.attach(optimizer)
    model = nets.mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    dsr.sparsify(model, STATIC, optimizer=optimizer)
    whole = FullyShardedDataParallel(model, use_orig_params=True, device_id=torch.device("cpu"))
    with pytest.raises(RuntimeError, match=r"0\.weight: FullyShardedDataParallel shards it"):
        optimizer.step()


def check_zero_redundancy_optimizer(folder):
    from torch.distributed.optim import ZeroRedundancyOptimizer  # warns of what torch deprecates

    model = nets.mlp()
    sparse = dsr.sparsify(model, STATIC)
    optimizer = ZeroRedundancyOptimizer(model.parameters(), torch.optim.SGD, lr=0.1)
    with pytest.raises(TypeError, match="optimizer: ZeroRedundancyOptimizer is not supported"):
        sparse.attach(optimizer)
    sparse.attach(torch.optim.SGD(model.parameters(), lr=0.1))


def check_model_in_ddp(folder):
    with pytest.raises(TypeError, match="got DistributedDataParallel; sparsify it first"):
        dsr.sparsify(DistributedDataParallel(nets.mlp()), STATIC)
