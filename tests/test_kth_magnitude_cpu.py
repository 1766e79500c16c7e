"""kth_magnitude in C++ gives the bits of the reference, at every depth of its search."""

import pytest
import torch
from native_cases import cases, check_cpu, same_bits, torch_threads, unit_counts

import dsr_kernels
from dsr_kernels import BitMask, SparseLayout

UNITS = 300_000  # more than the search collects at once, if all are alike


def test_equals_the_reference():
    for case in cases(3000, seed=3):
        active, largest, per_layer = (case.random.random() < 0.5 for _ in range(3))
        k = unit_counts(case, per_layer)
        check_cpu(
            case,
            lambda c, k=k, a=active, g=largest, p=per_layer: dsr_kernels.kth_magnitude(
                c.tensors, c.mask, k, active=a, largest=g, per_layer=p
            ),
        )


VALUES = {
    "all alike": torch.full((UNITS,), 0.5),
    "all NaN": torch.full((UNITS,), torch.nan),
    "one bit apart": (torch.arange(UNITS) % 7).int().add(0x3F000000).view(torch.float32),
    "one binade": torch.linspace(1.0, 1.1, UNITS),
    "many": torch.randn(UNITS, generator=torch.Generator().manual_seed(0)),
}


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("name", VALUES)
def test_crowded_values(name, largest):
    """So many candidates share their upper bits that the search has to go deeper."""
    layout = SparseLayout.of_elements([33, UNITS])
    bits = [torch.arange(n) % 50 != 1 for n in (33, UNITS)]
    mask = BitMask.from_bools(layout, bits)
    tensors = [torch.ones(33), VALUES[name]]
    for k in (1, 4_321, UNITS // 2, UNITS - 9_000):
        for counts in (torch.tensor([k]), torch.tensor([7, k])):
            arguments = (tensors, mask, counts)
            options = {"largest": largest, "per_layer": len(counts) == 2}
            with dsr_kernels.backend("reference"):
                wanted = dsr_kernels.kth_magnitude(*arguments, **options)
            with dsr_kernels.backend("cpu"), torch_threads(2):
                results = dsr_kernels.kth_magnitude(*arguments, **options)
            for a, b in zip(results, wanted, strict=True):
                assert same_bits(a, b), (name, k, counts, a, b)


def test_extreme_counts():
    mask = BitMask.ones(SparseLayout.of_elements([40, 3]))
    tensors = [torch.arange(40.0), torch.ones(3)]
    k = torch.tensor([2**63 - 1, -(2**63)])
    with dsr_kernels.backend("cpu"):
        select, shortfall, _ = dsr_kernels.kth_magnitude(tensors, mask, k)
    assert shortfall.tolist() == [2**63 - 1 - 40, 0]
    assert select[1].tolist() == [0, 0]
