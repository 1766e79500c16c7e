"""Variants of the product kernels that a launcher may ask for, to be compiled without a GPU.

All dtypes of the plain kernels, forward and turned; of the others those that take most registers,
and one each with the 64-bit offsets of a weight of 2^31 elements.
As Triton does at a launch, strides of 1 are constants, and sizes and pointers are known to be
multiples of 16 where a large layer has them so.
"""

import torch
import triton.language as tl
from kernel_resources import _row, compiled, usage

from dsr_kernels.triton_kernels.conv_kernels import (
    masked_conv2d_grad_weight_kernel,
    masked_conv2d_kernel,
)
from dsr_kernels.triton_kernels.masked_copy import BLOCK as MASKED_BLOCK
from dsr_kernels.triton_kernels.masked_copy import masked_copy_kernel
from dsr_kernels.triton_kernels.masked_linear import (
    masked_linear_grad_weight_kernel,
    masked_linear_kernel,
)
from dsr_kernels.triton_kernels.pack import count_kernel, pack_kernel
from dsr_kernels.triton_kernels.product_tuning import tiles
from dsr_kernels.triton_kernels.tile_lists import occupancy_kernel
from dsr_kernels.triton_kernels.unpack import unpack_kernel

KINDS = {
    "fp32": ("fp32", torch.float32, "ieee"),
    "tf32": ("fp32", torch.float32, "tf32"),
    "fp16": ("fp16", torch.float16, "ieee"),
    "bf16": ("bf16", torch.bfloat16, "ieee"),
}
DATA = {
    "source_ptr",
    "target_ptr",
    "x_ptr",
    "weight_ptr",
    "bias_ptr",
    "y_ptr",
    "grad_ptr",
    "result_ptr",
}
WIDE = {"ranks_ptr", "counts_ptr"}
MULTIPLES = ("rows", "outs", "ins", "stride_x", "stride_y", "stride_g", "stride_w")
ROUTES = {
    "strips": {"STRIPS": True},
    "words": {},
    "groups": {"GROUPED": True},
    "tiles": {"STRIPS": True, "LISTED": True},
    "channels": {"LISTED": True, "ORDERED": True},
}
# The stride along which memory is contiguous, of each tensor that a kernel takes.
LINEAR = ("stride_xi", "stride_yo", "stride_go")
CONV = ("stride_xc", "stride_yc", "stride_gc")


def product(kernel, kind, route, unit_strides, **flags):
    """One variant of a product kernel."""
    _, dtype, precision = KINDS[kind]
    convolution = "conv" in kernel.__name__
    gathered = route in ("groups", "channels") or flags.get("OFFSET") == tl.int64
    block = tiles(dtype, gathered=gathered, convolution=convolution)
    defaults = {"BIAS": True, "MASKED": True, "TURNED": False, "STRIPS": False, "GROUPED": False}
    constants = defaults | {"LISTED": False, "ORDERED": False, "OFFSET": tl.int32}
    constants |= ROUTES[route] | flags | {"PRECISION": precision}
    weights_grad = "result_ptr" in kernel.arg_names
    constants["BLOCK_O"] = block.rows if weights_grad else block.columns
    constants["BLOCK_R"] = block.depth if weights_grad else block.rows
    constants["BLOCK_I"] = block.columns if weights_grad else block.depth
    weight = "stride_wo" if constants["TURNED"] else "stride_wi"
    constants |= dict.fromkeys((*unit_strides, weight), 1)
    constants = {name: constants[name] for name in kernel.arg_names if name in constants}
    return (
        f"{kernel.__name__} {kind} {route} {_shown(flags)}",
        kernel,
        kind,
        constants,
        block.options,
    )


def _shown(flags):
    return " ".join(f"{name}={value}" for name, value in flags.items())


def _of(kernel, grad_kernel, strides):
    names = ("strips", "fp32"), ("strips", "tf32"), ("strips", "fp16"), ("strips", "bf16")
    others = ("words", "bf16"), ("groups", "fp32"), ("groups", "bf16"), ("tiles", "bf16")
    others += ("channels", "fp32"), ("channels", "bf16")
    plain = [product(kernel, k, r, strides, TURNED=t) for r, k in names for t in (False, True)]
    plain += [product(kernel, kind, route, strides) for route, kind in others]
    plain += [product(grad_kernel, kind, "words", strides) for kind in KINDS]
    plain += [product(kernel, "bf16", "strips", strides, OFFSET=tl.int64)]
    plain += [product(grad_kernel, "bf16", "words", strides, OFFSET=tl.int64)]
    return [*plain, *(product(grad_kernel, kind, "channels", strides) for kind in ("fp32", "bf16"))]


def _plain(kernel, warps=4, **constants):
    told = (True, False, tl.int64)
    flags = _shown({name: value for name, value in constants.items() if value in told})
    name = f"{kernel.__name__} {flags}".strip()
    return name, kernel, "fp32", constants, {"num_warps": warps}


PRODUCTS = {
    "masked_linear": [
        *_of(masked_linear_kernel, masked_linear_grad_weight_kernel, LINEAR),
        *(
            _plain(
                occupancy_kernel,
                warps=8,
                GROUPED=grouped,
                ORDERED=ordered,
                LINES=lines,
                OFFSET=tl.int32,
                BLOCK_O=128,
                BLOCK_I=64,
            )
            for grouped, ordered, lines in (
                (False, False, False),
                (True, True, False),
                (True, False, True),
            )
        ),
    ],
    "masked_conv2d": _of(masked_conv2d_kernel, masked_conv2d_grad_weight_kernel, CONV),
    "masked_copy": [
        _plain(masked_copy_kernel, warps=8, GROUPED=grouped, OFFSET=offset, BLOCK=MASKED_BLOCK)
        for grouped in (False, True)
        for offset in (tl.int32, tl.int64)
    ],
    "pack": [_plain(count_kernel, BLOCK=1024), _plain(pack_kernel, BLOCK=1024)],
    "unpack": [_plain(unpack_kernel, BLOCK=1024)],
}


def product_rows(op, arch):
    """The rows of the table for every variant of a product's kernels, and their PTX."""
    import triton

    rows, texts = [], []
    for name, kernel, kind, constants, options in PRODUCTS[op]:
        types = {arg: _type(arg, kind) for arg in kernel.arg_names}
        types |= dict.fromkeys(constants, "constexpr")
        multiples = {
            (i,): [["tt.divisibility", 16]]
            for i, arg in enumerate(kernel.arg_names)
            if arg not in constants and (arg.endswith("_ptr") or arg.startswith(MULTIPLES))
        }
        built = compiled(kernel, types, constants, options, arch, multiples)
        (used,) = usage(built.asm["cubin"]).values()
        rows.append(_row(f"triton {triton.__version__}", op, name.strip(), arch) | used)
        texts.append(built.asm["ptx"])
    return rows, texts


def _type(name, kind):
    if not name.endswith("_ptr"):
        return "i32"
    return f"*{KINDS[kind][0]}" if name in DATA else "*i64" if name in WIDE else "*i32"
