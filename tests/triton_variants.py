"""The variants of each Triton kernel that a launcher may ask for, to be compiled without a GPU."""

from search_variants import SEARCH_VARIANTS

from dsr_kernels.triton_kernels.add_noise import STORED_TYPES, add_noise_kernel
from dsr_kernels.triton_kernels.allocate_growth import LAYERS_A_WARP, allocate_growth_kernel
from dsr_kernels.triton_kernels.apply_mask import ELEMENT_TYPES, apply_mask_kernel
from dsr_kernels.triton_kernels.grow_random import grow_random_kernel
from dsr_kernels.triton_kernels.layer_mean import layer_mean_kernel
from dsr_kernels.triton_kernels.prune_sign_flips import prune_sign_flips_kernel
from dsr_kernels.triton_kernels.reset_state import reset_state_kernel
from dsr_kernels.triton_kernels.tuning import tuning

FLAGS = (False, True)
DTYPE_CODES = range(4)  # float32, bfloat16, float16, several

# Pointers to int32 and to float32; all others are to int64.
INT32 = {
    *("words_ptr", "previous_ptr", "positive_ptr", "negative_ptr", "chunk_layer_ptr"),
    *("counters_ptr", "places_ptr", "spans_ptr", "keys_ptr"),
    *("arrived_ptr", "bins_ptr", "equals_ptr"),
}
FLOAT32 = {"scale_ptr", "normal_ptr", "threshold_ptr"}


def signature(kernel):
    """The types of a kernel's arguments, told from their names; the constexprs are UPPER."""
    return {name: _type(name) for name in kernel.arg_names}


def _type(name):
    if name.isupper():
        return "constexpr"
    if not name.endswith("_ptr"):
        return "i32"
    return "*i32" if name in INT32 else "*fp32" if name in FLOAT32 else "*i64"


def _tiles(op):
    return {"BLOCK": tuning(op).block, "TILE": tuning(op).tile}


def _over_elements(kernel, op):
    return [
        (kernel, {"ELEMENT": element, "STEPS": steps} | _tiles(op), {})
        for element in ELEMENT_TYPES.values()
        for steps in (0, 9)
    ]


# Op -> (kernel, constexprs, options) of each variant.
VARIANTS = {
    "apply_mask_": _over_elements(apply_mask_kernel, "apply_mask_"),
    "reset_state_": _over_elements(reset_state_kernel, "reset_state_"),
    "add_noise_": [
        (add_noise_kernel, {"STORED": stored, "STEPS": steps} | _tiles("add_noise_"), {})
        for stored in STORED_TYPES.values()
        for steps in (0, 9)
    ],
    "allocate_growth": [
        (
            allocate_growth_kernel,
            {"ADAPTS": adapts, "BLOCK": block},
            {"num_warps": max(block // LAYERS_A_WARP, 1)},
        )
        for adapts in FLAGS
        for block in (1, 64, 256, 1024)
    ],
    "grow_random_": [
        (
            grow_random_kernel,
            {"BLOCK": tuning("grow_random_").block, "RANKS": tuning("grow_random_").ranks},
            {},
        )
    ],
    "layer_mean": [
        (
            layer_mean_kernel,
            {
                "LARGEST": largest,
                "GROUPS": groups,
                "DTYPE": dtype,
                "CHUNK": tuning("layer_mean").block,
                "TILE": tuning("layer_mean").tile,
            },
            {},
        )
        for largest in FLAGS
        for groups in FLAGS
        for dtype in DTYPE_CODES
    ],
    "prune_sign_flips_": [
        (
            prune_sign_flips_kernel,
            {"ZERO": zero, "DTYPE": dtype, "CHUNK": tuning("prune_sign_flips_").block},
            {},
        )
        for zero in FLAGS
        for dtype in DTYPE_CODES
    ],
} | SEARCH_VARIANTS
