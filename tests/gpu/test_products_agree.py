"""The GPU kernels of products and of packing on small inputs, which a sanitizer runs as well."""

import pytest
import torch
from generated_calls import CALLS

import dsr_kernels
from dsr_kernels.schema import OPS
from dsr_kernels.testing import sample_inputs

OTHERS = [
    (op.name, name)
    for op in OPS.values()
    for name in ("cuda", "triton")
    if op.name not in CALLS and name in op.backends
]


@pytest.mark.parametrize(("op", "backend_name"), OTHERS)
def test_every_kernel_is_near_the_reference(op, backend_name, device, ieee):
    results = []
    for name in (backend_name, "reference"):
        with dsr_kernels.backend(name):
            result = getattr(torch.ops.dsr_kernels, op)(*sample_inputs(op, device))
        results.append(result if isinstance(result, (tuple, list)) else [result])
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
