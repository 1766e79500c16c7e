"""reset_state_ on every backend: +0.0 at every unit that changed, nothing elsewhere."""

import oracle
import pytest
import torch
from op_cases import Case, same_values, seeds

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, SparseLayout, reset_state_

OP = "reset_state_"


@pytest.mark.parametrize("block", range(4))
def test_random_cases_against_the_oracle(block, backend, device):
    for seed in seeds(block):
        case = Case(seed, device)
        states, mask = case.tensors(), case.mask()
        before = [case.random_bits(len(layer.bits)) for layer in case.layers]
        with dsr_kernels.backend(backend):
            reset_state_(states, mask, case.mask(before))
        oracle.reset_state(case.layers, before)
        assert same_values(states, case.layers), seed
        assert case.canaries.intact(), seed


def masks(device):
    layout = SparseLayout((LayerShape(4), LayerShape(1, 2, 3)))
    rows = [[1, 1, 0, 0], [1, 0, 0]], [[1, 0, 1, 0], [0, 0, 0]]
    return [
        BitMask.from_bools(layout, [torch.tensor(row, dtype=torch.bool) for row in bits]).to(device)
        for bits in rows
    ]


def test_any_number_of_states_a_layer(backend, device):
    mask, previous = masks(device)
    states = [torch.full((size,), 7.0, device=device) for size in (4, 6, 4)]
    with dsr_kernels.backend(backend):
        reset_state_(states, mask, previous, layers=[0, 1, 0])
    assert states[0].tolist() == states[2].tolist() == [7.0, 0.0, 0.0, 7.0]
    assert states[1].tolist() == [0.0, 7.0, 7.0, 0.0, 7.0, 7.0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_floating_dtype_and_any_value(dtype, backend, device):
    mask, previous = masks(device)
    state = torch.tensor([float("nan"), float("nan"), -float("inf"), -0.0]).to(device, dtype)
    with dsr_kernels.backend(backend):
        reset_state_([state], mask, previous, layers=[0])
    assert [str(value) for value in state.tolist()] == ["nan", "0.0", "0.0", "-0.0"]


def test_equal_masks_change_nothing(backend, device):
    mask, _ = masks(device)
    states = [torch.full((size,), 7.0, device=device) for size in (4, 6)]
    with dsr_kernels.backend(backend):
        reset_state_(states, mask, mask.clone())
        reset_state_([], mask, mask.clone(), layers=[])
    assert all(bool((state == 7.0).all()) for state in states)
