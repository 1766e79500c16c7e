"""The CUDA kernels give the reference's bits in every awkward case, and write nothing else."""

import pytest
from generated_calls import generated
from native_cases import check_backends

from dsr_kernels.schema import OPS

CASES = 40


@pytest.mark.parametrize("backend", ["cuda-reversed", "cuda-shuffled"], indirect=True)
@pytest.mark.parametrize("op", [op.name for op in OPS.values() if "cuda" in op.backends])
def test_equals_the_reference(op, backend):
    for case, call in generated(op, CASES, seed=1, large=2):
        check_backends(case, call, (backend,))
