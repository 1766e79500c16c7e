"""Every op: its signature, the backends it has, and why one is missing.

This table is the contract. ``tests/test_symmetry.py`` holds the tree against it: an op named
``name_`` has ``ops/name.py``, ``reference/name.py`` and, for each backend listed here,
``csrc/cpu/name.cpp``, ``csrc/cuda/name.cu`` or ``triton_kernels/name.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

BACKENDS = ("cuda", "triton", "cpu", "reference")

_GPU_LATER = "not written yet; the GPU kernels of the reallocation ops come next"
_NO_GPU_YET = dict.fromkeys(("cuda", "triton"), _GPU_LATER)


@dataclass(frozen=True)
class OpSchema:
    """One op. ``missing`` names each backend it lacks and the reason."""

    name: str
    signature: str
    backends: tuple[str, ...]
    missing: dict[str, str]

    def __post_init__(self) -> None:
        if set(self.backends) | set(self.missing) != set(BACKENDS):
            raise ValueError(f"{self.name}: every backend is either built or missing with a reason")

    @property
    def stem(self) -> str:
        """The op's file name in every folder: its name without the trailing underscore."""
        return self.name.rstrip("_")


_ALL = (
    OpSchema(
        "apply_mask_",
        "(Tensor(a!)[] tensors, int[] layers, Tensor words, Tensor table) -> ()",
        backends=BACKENDS,
        missing={},
    ),
    OpSchema(
        "prune_threshold_",
        "(Tensor(a!)[] weights, Tensor(b!) words, Tensor table, Tensor threshold, bool zero)"
        " -> (Tensor pruned, Tensor surviving, Tensor nonfinite)",
        backends=("cpu", "reference"),
        missing=dict(_NO_GPU_YET),
    ),
    OpSchema(
        "kth_magnitude",
        "(Tensor[] tensors, Tensor words, Tensor table, Tensor k, bool active, bool largest,"
        " bool per_layer) -> (Tensor select, Tensor shortfall, Tensor nonfinite)",
        backends=("cpu", "reference"),
        missing=dict(_NO_GPU_YET),
    ),
    OpSchema(
        "prune_smallest_",
        "(Tensor(a!)[] weights, Tensor(b!) words, Tensor table, Tensor k, bool per_layer,"
        " bool zero, bool keep_one) -> (Tensor pruned, Tensor surviving, Tensor nonfinite)",
        backends=("cpu", "reference"),
        missing=dict(_NO_GPU_YET),
    ),
    OpSchema(
        "allocate_growth",
        "(Tensor(a!) threshold, Tensor pruned, Tensor shares, Tensor capacity, int lower,"
        " int upper) -> Tensor grown",
        backends=("cpu", "reference"),
        missing=dict(_NO_GPU_YET),
    ),
    OpSchema(
        "grow_random_",
        "(Tensor(a!) words, Tensor previous, Tensor table, Tensor counts, int seed,"
        " Tensor reallocation, int purpose) -> Tensor grown",
        backends=("cpu", "reference"),
        missing=dict(_NO_GPU_YET),
    ),
    OpSchema(
        "grow_largest_",
        "(Tensor(a!) words, Tensor previous, Tensor[] scores, Tensor table, Tensor counts,"
        " bool per_layer) -> Tensor grown",
        backends=("cpu", "reference"),
        missing=dict(_NO_GPU_YET),
    ),
    OpSchema(
        "layer_mean",
        "(Tensor[] tensors, Tensor words, Tensor table) -> Tensor mean",
        backends=("cpu", "reference"),
        missing=dict(_NO_GPU_YET),
    ),
    OpSchema(
        "reset_state_",
        "(Tensor(a!)[] states, int[] layers, Tensor words, Tensor previous, Tensor table) -> ()",
        backends=("cpu", "reference"),
        missing=dict(_NO_GPU_YET),
    ),
    OpSchema(
        "add_noise_",
        "(Tensor(a!)[] tensors, int[] layers, Tensor words, Tensor table, Tensor scale, int seed,"
        " Tensor counter, int purpose) -> ()",
        backends=("cpu", "reference"),
        missing=dict(_NO_GPU_YET),
    ),
    OpSchema(
        "prune_sign_flips_",
        "(Tensor(a!)[] weights, Tensor(b!) words, Tensor(c!) positive, Tensor(d!) negative,"
        " Tensor table, bool zero) -> (Tensor pruned, Tensor surviving, Tensor nonfinite)",
        backends=("cpu", "reference"),
        missing=dict(_NO_GPU_YET),
    ),
)

OPS: dict[str, OpSchema] = {op.name: op for op in _ALL}
