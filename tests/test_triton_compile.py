"""Every Triton kernel really compiles for sm_80 and sm_90 and takes no more than it did."""

import pytest
import triton
import triton.language as tl
from kernel_resources import ARCHS, FUSED, compare, compiled, machine_code, triton_rows, usage
from product_variants import PRODUCTS
from triton_variants import VARIANTS

from dsr_kernels.schema import OPS

INEXACT = ("div.full", ".ftz", "fma.")


def test_every_triton_op_is_compiled_here():
    ops = {op.name for op in OPS.values() if "triton" in op.backends}
    assert {*VARIANTS, *PRODUCTS} == {*ops, "masked_copy"}  # a part of the library's products


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("op", VARIANTS)
def test_compiles_within_its_resources(op, arch):
    rows, texts = triton_rows(op, arch)
    assert compare(rows) == []
    if "cpu" in OPS[op].backends:  # integers decide, and every rounding counts
        assert [row for row in rows if row["fma"]] == []
        assert not [name for name in INEXACT for text in texts if name in text]


@triton.jit
def _product_and_sum(out_ptr, a, b, c):
    tl.store(out_ptr, a * b + c)


def test_a_contraction_would_be_noticed():
    types = {"out_ptr": "*fp32", "a": "fp32", "b": "fp32", "c": "fp32"}
    for fused in (True, False):
        built = compiled(_product_and_sum, types, {}, {"enable_fp_fusion": fused}, 90)
        found = FUSED.findall(machine_code(built.asm["cubin"]))
        assert len(found) == int(fused)


@triton.jit
def _divided_by_their_sum(values_ptr):
    at = values_ptr + tl.arange(0, 4096)
    values = tl.load(at)
    tl.store(at, values / tl.sum(values, axis=0))


@pytest.mark.parametrize(("registers", "spilled"), [(32, True), (255, False)])
def test_registers_that_do_not_suffice_would_be_noticed(registers, spilled):
    options = {"num_warps": 1, "maxnreg": registers}
    built = compiled(_divided_by_their_sum, {"values_ptr": "*fp32"}, {}, options, 90)
    (found,) = usage(built.asm["cubin"]).values()
    assert (found["spills"] + found["stack"] > 0) is spilled
