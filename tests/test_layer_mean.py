"""layer_mean on every backend: exact integers, whatever the values."""

import oracle
import pytest
import torch
from op_cases import Case, seeds

import dsr_kernels
from dsr_kernels import BitMask, SparseLayout, layer_mean

OP = "layer_mean"
NAN, INF = float("nan"), float("inf")


def mean(rows, device, bits=None):
    layout = SparseLayout.of_elements([len(row) for row in rows])
    bits = bits or [[True] * len(row) for row in rows]
    mask = BitMask.from_bools(layout, [torch.tensor(row, dtype=torch.bool) for row in bits])
    tensors = [torch.tensor(row, dtype=torch.float32, device=device) for row in rows]
    return layer_mean(tensors, mask.to(device)).tolist()


@pytest.mark.parametrize("block", range(4))
def test_random_cases_against_the_oracle(block, backend, device):
    for seed in seeds(block):
        case = Case(seed, device)
        with dsr_kernels.backend(backend):
            result = layer_mean(case.tensors(), case.mask())
        assert result.tolist() == oracle.layer_mean(case.layers), seed
        assert case.canaries.intact(), seed


def test_the_largest_magnitude_has_31_bits(backend, device):
    with dsr_kernels.backend(backend):
        assert mean([[1.0], [-1.5], [0.25]], device) == [2**30, 3 * 2**29, 2**28]
        assert mean([[1.9999999], [1.0]], device) == [2**31 - 2**7, 2**30]


def test_the_scale_does_not_depend_on_the_range(backend, device):
    """Denormals and huge values alike: only ratios count."""
    with dsr_kernels.backend(backend):
        assert mean([[3e-45], [1.4e-45]], device) == [2**30, 2**29]
        assert mean([[2.0**127], [2.0**126]], device) == [2**30, 2**29]
        assert mean([[2.0**127], [1e-45]], device) == [2**30, 0]


def test_floor_of_the_mean_over_active_units(backend, device):
    with dsr_kernels.backend(backend):
        rows, bits = [[1.0, 0.5, 9.0], [4.0]], [[True, True, False], [False]]
        assert mean(rows, device, bits) == [(2**30 + 2**29) // 2, 0]
        assert mean([[1.0, 0.0, 0.0]], device) == [2**30 // 3]


def test_nan_and_inf_count_as_zero(backend, device):
    with dsr_kernels.backend(backend):
        assert mean([[NAN, 1.0], [INF, -INF]], device) == [2**29, 0]


def test_without_any_magnitude_all_are_zero(backend, device):
    with dsr_kernels.backend(backend):
        assert mean([[0.0, -0.0], [], [NAN]], device) == [0, 0, 0]
        assert mean([], device) == []


def test_layers_of_several_dtypes_that_start_anywhere(backend, device):
    mask = BitMask.ones(SparseLayout.of_elements([300] * 3), device)
    values = torch.arange(301) % 7 * 0.25  # at most 1.5
    tensors = [
        values.to(device, dtype)[1:] for dtype in (torch.float32, torch.bfloat16, torch.float16)
    ]
    total = sum(i % 7 << 28 for i in range(1, 301))
    with dsr_kernels.backend(backend):
        assert layer_mean(tensors, mask).tolist() == [total // 300] * 3
