"""The ops that dynamic sparse training runs on: pruning, growth and masking over bit masks."""

from dsr_kernels._version import __version__
from dsr_kernels.dispatch import backend, explain
from dsr_kernels.fractions import active_count, fraction_of, tolerance_bounds
from dsr_kernels.layout import LayerShape, SparseLayout
from dsr_kernels.mask import BitMask
from dsr_kernels.ops.add_noise import add_noise_
from dsr_kernels.ops.allocate_growth import allocate_growth
from dsr_kernels.ops.apply_mask import apply_mask_
from dsr_kernels.ops.grow_largest import grow_largest_
from dsr_kernels.ops.grow_random import Purpose, grow_random_
from dsr_kernels.ops.kth_magnitude import kth_magnitude
from dsr_kernels.ops.layer_mean import layer_mean
from dsr_kernels.ops.mask_and_count import mask_and_count_
from dsr_kernels.ops.masked_conv2d import masked_conv2d
from dsr_kernels.ops.masked_linear import masked_linear
from dsr_kernels.ops.pack import pack
from dsr_kernels.ops.packed_linear import packed_linear
from dsr_kernels.ops.prune_sign_flips import prune_sign_flips_
from dsr_kernels.ops.prune_smallest import prune_smallest_
from dsr_kernels.ops.prune_threshold import prune_threshold_
from dsr_kernels.ops.reset_state import reset_state_
from dsr_kernels.ops.unpack import unpack

__all__ = [
    "BitMask",
    "LayerShape",
    "Purpose",
    "SparseLayout",
    "__version__",
    "active_count",
    "add_noise_",
    "allocate_growth",
    "apply_mask_",
    "backend",
    "explain",
    "fraction_of",
    "grow_largest_",
    "grow_random_",
    "kth_magnitude",
    "layer_mean",
    "mask_and_count_",
    "masked_conv2d",
    "masked_linear",
    "pack",
    "packed_linear",
    "prune_sign_flips_",
    "prune_smallest_",
    "prune_threshold_",
    "reset_state_",
    "tolerance_bounds",
    "unpack",
]
