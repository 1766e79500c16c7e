"""Variants of the Triton kernels that prune or search, to be compiled without a GPU.

Not all that a launcher may ask for: the flags that change what a kernel does, with enough dtypes.
"""

from dsr_kernels.triton_kernels.digits import count_kernel
from dsr_kernels.triton_kernels.grow_largest import grow_kernel
from dsr_kernels.triton_kernels.prune_pass import ELEMENT_REGISTERS, prune_kernel
from dsr_kernels.triton_kernels.ranks import ACTIVE, FREE_FIRST, INACTIVE, PRUNABLE
from dsr_kernels.triton_kernels.search import TIE_REGISTERS, TILES
from dsr_kernels.triton_kernels.ties import tie_kernel
from dsr_kernels.triton_kernels.tuning import tuning

FLOAT32, BFLOAT16, FLOAT16, MIXED = range(4)


def _search(op, among, largest, per_layer, select, groups, dtype):
    tile = tuning(op).block
    shared = {
        "PER_LAYER": per_layer,
        "AMONG": among.value,
        "LARGEST": largest,
        "GROUPS": groups,
        "DTYPE": dtype,
        "CHUNK": TILES * tile,
        "TILE": tile,
    }
    return [
        (count_kernel, {"FIRST": True, "NONFINITE": select} | shared, {}),
        (count_kernel, {"FIRST": False, "NONFINITE": False} | shared, {}),
        (tie_kernel, {"SELECT": select} | shared, {"maxnreg": TIE_REGISTERS}),
    ]


def _prune(op, ties, per_layer, zero, keep_one, groups, dtype):
    constexprs = {
        "TIES": ties,
        "PER_LAYER": per_layer,
        "ZERO": zero,
        "KEEP_ONE": keep_one,
        "GROUPS": groups,
        "DTYPE": dtype,
        "CHUNK": tuning(op).block,
    }
    return (prune_kernel, constexprs, {} if groups else {"maxnreg": ELEMENT_REGISTERS})


def _grow(per_layer, groups, dtype):
    constexprs = {"PER_LAYER": per_layer, "GROUPS": groups, "DTYPE": dtype}
    return (grow_kernel, constexprs | {"CHUNK": tuning("grow_largest_").block}, {})


# Op -> (kernel, constexprs, options) of each variant.
SEARCH_VARIANTS = {
    "prune_threshold_": [
        _prune("prune_threshold_", False, False, zero, True, groups, dtype)
        for zero, groups, dtype in (
            (True, False, FLOAT32),
            (True, False, BFLOAT16),
            (True, True, FLOAT16),
            (True, True, MIXED),
            (False, False, FLOAT32),
        )
    ],
    "kth_magnitude": [
        *_search("kth_magnitude", ACTIVE, False, True, True, False, FLOAT32),
        *_search("kth_magnitude", INACTIVE, True, False, True, True, MIXED),
    ],
    "prune_smallest_": [
        *_search("prune_smallest_", PRUNABLE, False, True, False, True, FLOAT32),
        _prune("prune_smallest_", True, True, True, False, False, FLOAT32),
        _prune("prune_smallest_", True, False, True, True, True, MIXED),
    ],
    "grow_largest_": [
        *_search("grow_largest_", FREE_FIRST, True, True, False, False, BFLOAT16),
        _grow(True, False, FLOAT32),
        _grow(False, True, MIXED),
    ],
}
