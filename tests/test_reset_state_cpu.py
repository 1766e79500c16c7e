"""reset_state_ in C++ gives the bits of the reference."""

import pytest
import torch
from native_cases import cases, check_cpu, same_bits, torch_threads

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, SparseLayout, reset_state_


@pytest.mark.parametrize("block", range(3))
def test_equals_the_reference(block):
    for case in cases(1000, seed=block):
        check_cpu(case, lambda c: reset_state_(c.tensors, c.mask, c.previous))


def test_any_states_of_any_layers():
    """Two states of a layer, none of another, in any order, also float64 and transposed."""
    for case in cases(300, seed=3):
        layers = [i for i in range(len(case.layout)) for _ in range(case.random.choice((0, 1, 2)))]
        case.random.shuffle(layers)
        states = [_state(case, layer) for layer in layers]
        results = [states, [state.clone() for state in states]]
        for backend, tensors in zip(("cpu", "reference"), results, strict=True):
            with dsr_kernels.backend(backend), torch_threads(1):
                reset_state_(tensors, case.mask, case.previous, layers=layers)
        for cpu, reference in zip(*results, strict=True):
            assert cpu.stride() == reference.stride()
            assert same_bits(_in_memory(cpu), _in_memory(reference)), case


def _state(case, layer):
    state = case.tensors[layer].to(case.random.choice((torch.float64, torch.float32))) + 1
    return state.view(2, -1).t() if len(state) > 2 and len(state) % 2 == 0 else state


def _in_memory(tensor):
    return tensor.as_strided((tensor.numel(),), (1,))


@pytest.mark.parametrize("fraction", [0.02, 0.5, 1.0])
def test_layers_that_several_threads_share(fraction):
    layout = SparseLayout((LayerShape(300_001), LayerShape(20_001, 9), LayerShape(1_001, 3, 131)))
    generator = torch.Generator().manual_seed(1)
    bits = [torch.rand(shape.units, generator=generator) < fraction for shape in layout.layers]
    mask, previous = BitMask.from_bools(layout, bits), BitMask.zeros(layout)
    states = [torch.randn(shape.elements, generator=generator) for shape in layout.layers]
    wanted = [state.clone() for state in states]
    with dsr_kernels.backend("reference"), torch_threads(1):
        reset_state_(wanted, mask, previous)
    for threads in (1, 2, 3):
        results = [state.clone() for state in states]
        with dsr_kernels.backend("cpu"), torch_threads(threads):
            reset_state_(results, mask, previous)
        assert all(map(same_bits, results, wanted)), threads
