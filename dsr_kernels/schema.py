"""Every op: its signature, the backends it has, and why one is missing.

This table is the contract. ``tests/test_symmetry.py`` holds the tree against it: an op named
``name_`` has ``ops/name.py``, ``reference/name.py`` and, for each backend listed here,
``csrc/cpu/name.cpp``, ``csrc/cuda/name.cu``, ``triton_kernels/name.py`` or ``library/name.py``.
The op that computes a gradient of another lives in that op's files.
"""

from __future__ import annotations

from dataclasses import dataclass

KERNELS = ("cuda", "triton", "cpu", "reference")
# "library" is torch's own product on a weight that a kernel has masked.
BACKENDS = ("cuda", "triton", "cpu", "library", "reference")

_NO_PRODUCT = "not a product: torch's own libraries have nothing to offer"
_NO_TENSOR_CORE_GEMM = (
    "built only where a measurement on a GPU shows at least 1.05 times the other routes; there is"
    " none yet"
)
_TORCH_ON_CPU = "on a CPU the product is torch's own: see library"
_COUNTED_BY_PRUNING = (
    "after every step a GPU masks alone, by apply_mask_; the ops that prune count NaN and Inf there"
)
_BOUND_BY_MEMORY = "bound by memory alone: the Triton kernel is enough"
_UNPACKS = "unpack runs there; the product is torch's own: see library"
_UNPACKED = dict.fromkeys(("cuda", "triton", "cpu"), _UNPACKS)
_PRODUCT = {"cuda": _NO_TENSOR_CORE_GEMM, "cpu": _TORCH_ON_CPU}


@dataclass(frozen=True)
class OpSchema:
    """One op. ``missing`` names each backend it lacks and the reason.

    ``gradient_of`` is the op whose backward calls this one; its files hold both.
    """

    name: str
    signature: str
    backends: tuple[str, ...]
    missing: dict[str, str]
    gradient_of: str = ""

    def __post_init__(self) -> None:
        if "library" not in self.backends:  # torch has no op that does this work
            self.missing.setdefault("library", _NO_PRODUCT)
        if set(self.backends) | set(self.missing) != set(BACKENDS):
            raise ValueError(f"{self.name}: every backend is either built or missing with a reason")

    @property
    def stem(self) -> str:
        """The op's file name in every folder: its name without the trailing underscore."""
        return (self.gradient_of or self.name).rstrip("_")


_ALL = (
    OpSchema(
        "apply_mask_",
        "(Tensor(a!)[] tensors, int[] layers, Tensor words, Tensor table) -> ()",
        backends=KERNELS,
        missing={},
    ),
    OpSchema(
        "mask_and_count_",
        "(Tensor(a!)[] tensors, int[] layers, Tensor words, Tensor table) -> Tensor nonfinite",
        backends=("cpu", "reference"),
        missing=dict.fromkeys(("cuda", "triton"), _COUNTED_BY_PRUNING),
    ),
    OpSchema(
        "prune_threshold_",
        "(Tensor(a!)[] weights, Tensor(b!) words, Tensor table, Tensor threshold, bool zero)"
        " -> (Tensor pruned, Tensor surviving, Tensor nonfinite)",
        backends=KERNELS,
        missing={},
    ),
    OpSchema(
        "kth_magnitude",
        "(Tensor[] tensors, Tensor words, Tensor table, Tensor k, bool active, bool largest,"
        " bool per_layer) -> (Tensor select, Tensor shortfall, Tensor nonfinite)",
        backends=KERNELS,
        missing={},
    ),
    OpSchema(
        "prune_smallest_",
        "(Tensor(a!)[] weights, Tensor(b!) words, Tensor table, Tensor k, bool per_layer,"
        " bool zero, bool keep_one) -> (Tensor pruned, Tensor surviving, Tensor nonfinite)",
        backends=KERNELS,
        missing={},
    ),
    OpSchema(
        "allocate_growth",
        "(Tensor(a!) threshold, Tensor pruned, Tensor shares, Tensor capacity, int lower,"
        " int upper) -> Tensor grown",
        backends=KERNELS,
        missing={},
    ),
    OpSchema(
        "grow_random_",
        "(Tensor(a!) words, Tensor previous, Tensor table, Tensor counts, int seed,"
        " Tensor reallocation, int purpose) -> Tensor grown",
        backends=KERNELS,
        missing={},
    ),
    OpSchema(
        "grow_largest_",
        "(Tensor(a!) words, Tensor previous, Tensor[] scores, Tensor table, Tensor counts,"
        " bool per_layer) -> Tensor grown",
        backends=KERNELS,
        missing={},
    ),
    OpSchema(
        "layer_mean",
        "(Tensor[] tensors, Tensor words, Tensor table) -> Tensor mean",
        backends=KERNELS,
        missing={},
    ),
    OpSchema(
        "reset_state_",
        "(Tensor(a!)[] states, int[] layers, Tensor words, Tensor previous, Tensor table) -> ()",
        backends=KERNELS,
        missing={},
    ),
    OpSchema(
        "add_noise_",
        "(Tensor(a!)[] tensors, int[] layers, Tensor words, Tensor table, Tensor scale, int seed,"
        " Tensor counter, int purpose) -> ()",
        backends=KERNELS,
        missing={},
    ),
    OpSchema(
        "prune_sign_flips_",
        "(Tensor(a!)[] weights, Tensor(b!) words, Tensor(c!) positive, Tensor(d!) negative,"
        " Tensor table, bool zero) -> (Tensor pruned, Tensor surviving, Tensor nonfinite)",
        backends=KERNELS,
        missing={},
    ),
    OpSchema(
        "masked_linear",
        "(Tensor x, Tensor weight, Tensor words, Tensor? bias, int[] units, bool weight_is_masked,"
        " str structure) -> Tensor",
        backends=("triton", "library", "reference"),
        missing=_PRODUCT,
    ),
    OpSchema(
        "masked_conv2d",
        "(Tensor x, Tensor weight, Tensor words, Tensor? bias, int[] units, int[] stride,"
        " int[] padding, int[] dilation, int groups, bool weight_is_masked, str structure)"
        " -> Tensor",
        backends=("triton", "library", "reference"),
        missing=_PRODUCT,
    ),
    OpSchema(
        "pack",
        "(Tensor tensor, Tensor words, int[] units, int active) -> (Tensor values, Tensor ranks)",
        backends=("triton", "cpu", "reference"),
        missing={"cuda": _BOUND_BY_MEMORY},
    ),
    OpSchema(
        "unpack",
        "(Tensor values, Tensor ranks, Tensor words, int[] units) -> Tensor",
        backends=("triton", "cpu", "reference"),
        missing={"cuda": _BOUND_BY_MEMORY},
    ),
    OpSchema(
        "packed_linear",
        "(Tensor x, Tensor values, Tensor ranks, Tensor words, Tensor? bias, int[] units,"
        " int outs) -> Tensor",
        backends=("library", "reference"),
        missing=_UNPACKED,
    ),
)

# What backward passes call. They have no public function.
_GRADIENTS = (
    OpSchema(
        "masked_linear_grad_input",
        "(Tensor grad, Tensor weight, Tensor words, int[] units, bool weight_is_masked,"
        " str structure) -> Tensor",
        backends=("triton", "library", "reference"),
        missing=_PRODUCT,
        gradient_of="masked_linear",
    ),
    OpSchema(
        "masked_linear_grad_weight",
        "(Tensor grad, Tensor x, Tensor words, int[] units, int[] strides, str structure)"
        " -> Tensor",
        backends=("triton", "library", "reference"),
        missing=_PRODUCT,
        gradient_of="masked_linear",
    ),
    OpSchema(
        "masked_conv2d_grad_input",
        "(Tensor grad, Tensor weight, Tensor words, int[] units, SymInt[] size,"
        " bool channels_last, int[] stride, int[] padding, int[] dilation, int groups,"
        " bool weight_is_masked, str structure) -> Tensor",
        backends=("triton", "library", "reference"),
        missing=_PRODUCT,
        gradient_of="masked_conv2d",
    ),
    OpSchema(
        "masked_conv2d_grad_weight",
        "(Tensor grad, Tensor x, Tensor words, int[] units, int[] size, int[] strides,"
        " int[] stride, int[] padding, int[] dilation, int groups, str structure) -> Tensor",
        backends=("triton", "library", "reference"),
        missing=_PRODUCT,
        gradient_of="masked_conv2d",
    ),
    # Both at once, where x and the weight both want one: torch's convolution shares work then.
    OpSchema(
        "masked_conv2d_grads",
        "(Tensor grad, Tensor x, Tensor weight, Tensor words, int[] units, int[] stride,"
        " int[] padding, int[] dilation, int groups, bool weight_is_masked, str structure)"
        " -> (Tensor grad_x, Tensor grad_weight)",
        backends=("triton", "library", "reference"),
        missing=_PRODUCT,
        gradient_of="masked_conv2d",
    ),
    OpSchema(
        "packed_linear_grad_input",
        "(Tensor grad, Tensor values, Tensor ranks, Tensor words, int[] units, int ins) -> Tensor",
        backends=("library", "reference"),
        missing=_UNPACKED,
        gradient_of="packed_linear",
    ),
    OpSchema(
        "packed_linear_grad_values",
        "(Tensor grad, Tensor x, Tensor words, int[] units, int active) -> Tensor",
        backends=("library", "reference"),
        missing=_UNPACKED,
        gradient_of="packed_linear",
    ),
)

OPS: dict[str, OpSchema] = {op.name: op for op in _ALL}
GRADIENTS: dict[str, OpSchema] = {op.name: op for op in _GRADIENTS}
