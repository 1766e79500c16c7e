"""Modules whose weight counts only where a mask is active: for masks that one keeps oneself.

``dsr.sparsify`` needs none of them: it keeps inactive weights at 0, so that a model's own modules
compute the same, and masks the gradients of all layers at once.
"""

from dsr.nn.conv import MaskedConv2d
from dsr.nn.linear import MaskedLinear

__all__ = ["MaskedConv2d", "MaskedLinear"]
