"""The Triton kernels give the reference's bits in awkward cases, and write nothing else."""

import pytest
from generated_calls import CALLS, generated
from native_cases import check_backends

from dsr_kernels.schema import OPS

CASES = 4


@pytest.mark.parametrize("backend", ["triton-shuffled"], indirect=True)
@pytest.mark.parametrize("op", [op for op in CALLS if "triton" in OPS[op].backends])
def test_equals_the_reference(op, backend):
    for case, call in generated(op, CASES, seed=1, large=0):
        check_backends(case, call, (backend,))
