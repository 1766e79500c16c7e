"""What a method keeps beside the weights moves as a whole; the meta device stands for a GPU."""

import torch
from nets import mlp, train

import dsr
from dsr_kernels import BitMask


def test_all_of_the_device_state_moves():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method = dsr.DeepR(0.5, temperatures=(1.0,), temperature_starts=(0,), stop=None)
    sparse = dsr.sparsify(model, method, optimizer=optimizer)
    train(model, sparse, optimizer, 2)
    state = sparse._state
    sparse._follow_device()
    assert state.threshold.device.type == "cpu"  # the weights are where they were
    assert state.signs is not None
    state.to("meta")
    assert state.signs is None  # the next step takes them anew
    held = [value for value in vars(state).values() if isinstance(value, (torch.Tensor, BitMask))]
    assert [value.device.type for value in held] == ["meta"] * len(state.FIELDS)
