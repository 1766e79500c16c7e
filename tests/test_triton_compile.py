"""Every Triton kernel really compiles for sm_80 and sm_90, without spills. Needs no GPU."""

import re
import subprocess
from pathlib import Path

import pytest
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from dsr_kernels.schema import OPS
from dsr_kernels.triton_kernels.apply_mask import apply_mask_kernel
from dsr_kernels.triton_kernels.tuning import tuning

CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
APPLY_MASK = {
    "entries_ptr": "*i64", "words_ptr": "*i32", "layout_ptr": "*i64", "tensors": "i32",
}  # fmt: skip

# Op -> (kernel, signature, constexprs) of each variant that a launcher may ask for.
VARIANTS = {
    "apply_mask_": [
        (
            apply_mask_kernel,
            APPLY_MASK,
            {"ELEMENT": element, "STEPS": steps, "BLOCK": tuning("apply_mask_").block},
        )
        for element in (tl.int16, tl.int32, tl.int64)
        for steps in (0, 9)
    ],
}


def test_every_triton_op_is_compiled_here():
    assert set(VARIANTS) == {op.name for op in OPS.values() if "triton" in op.backends}


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("op", VARIANTS)
def test_compiles_without_spills(op, capability, tmp_path):
    for kernel, signature, constexprs in VARIANTS[op]:
        types = signature | dict.fromkeys(constexprs, "constexpr")
        source = ASTSource(fn=kernel, signature=types, constexprs=constexprs)
        compiled = triton.compile(
            source,
            target=GPUTarget("cuda", capability, 32),
            options={"num_warps": tuning(op).warps},
        )
        usage = resource_usage(compiled.asm["cubin"], tmp_path)
        assert usage["LOCAL"] == 0, (constexprs, usage)
        assert usage["STACK"] == 0, (constexprs, usage)


def resource_usage(cubin, folder):
    path = folder / "kernel.cubin"
    path.write_bytes(cubin)
    command = [str(CUOBJDUMP), "--dump-resource-usage", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    usage = {name: int(value) for name, value in re.findall(r"([A-Z]+)(?:\[\d\])?:(\d+)", text)}
    assert {"REG", "STACK", "LOCAL"} <= set(usage), text
    return usage
