"""The checks of layers beyond 2**31 elements, at a size that a CPU has time for."""

import pytest
from far_units import CHECKS, Far, takes

import dsr_kernels
from dsr_kernels.schema import OPS


@pytest.mark.parametrize("backend_name", ["cpu", "reference"])
@pytest.mark.parametrize(
    ("op", "unit_size"), [(op, size) for op in CHECKS for size in (1, 4) if takes(op, size)]
)
def test_on_a_small_layer(op, unit_size, backend_name):
    with dsr_kernels.backend(backend_name):
        CHECKS[op](Far(2**16, unit_size, "cpu"))


def test_every_op_with_elements_is_here():
    elementwise = {
        op.name for op in OPS.values() if "cuda" in op.backends and "words" in op.signature
    }
    assert elementwise <= set(CHECKS)
