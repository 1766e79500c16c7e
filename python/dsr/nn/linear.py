"""MaskedLinear: nn.Linear with a mask over its weight."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from dsr.nn.checks import refuse_computed
from dsr.nn.masked import MaskedWeight, copy_parameters, with_defaults, zero_inactive
from dsr_kernels import masked_linear


class MaskedLinear(MaskedWeight, nn.Linear):
    """``y = x @ select(mask, weight, 0).T + bias``.

    What lies under the mask is kept and never read, so that a weight can come back (but see
    ``weight_is_masked``). Its gradient there is 0.

    Args:
        in_features, out_features, bias, device, dtype: as for ``torch.nn.Linear``.
        mask: bool [out_features, in_features], True where active; default: all of them.
        granularity: what one mask bit stands for: "element", or "row" for all weights of one
            output.
        weight_is_masked: the weight is 0 wherever it is inactive, which saves a pass over it in
            each product. What a mask makes inactive is then set to 0, and does not come back; in
            training nothing else may change it there, such as an optimizer's momentum.
        structure: as for ``dsr_kernels.masked_linear``; speed alone.

    Attributes:
        mask: bool, of the weight's shape. Assign to change it.

    Raises:
        TypeError, ValueError: an argument is not as described.

    Example:
        >>> layer = dsr.nn.MaskedLinear(4, 2, mask=torch.rand(2, 4) < 0.5)
        >>> layer(torch.ones(3, 4)).shape
        torch.Size([3, 2])
    """

    GRANULARITIES = ("element", "row")

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        mask: Tensor | None = None,
        granularity: str = "element",
        weight_is_masked: bool = False,
        structure: str = "unstructured",
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        self._start(mask, granularity, weight_is_masked, structure)

    @classmethod
    def from_dense(cls, module: nn.Linear, mask: Tensor, **options: Any) -> MaskedLinear:
        """A masked layer with copies of a dense one's parameters.

        Args:
            module: a ``torch.nn.Linear``.
            mask: bool, of the weight's shape.
            options: granularity, weight_is_masked (the copied weight is then set to 0 where it is
                inactive), structure.

        Raises:
            TypeError, ValueError: an argument is not as described, or the module's weight or bias
                is computed from other parameters.
        """
        if not isinstance(module, nn.Linear):
            raise TypeError(f"module: expected a torch.nn.Linear, got {type(module).__name__}")
        refuse_computed(module)
        masked = cls(
            module.in_features,
            module.out_features,
            module.bias is not None,
            device="meta",
            dtype=module.weight.dtype,
        )
        copy_parameters(module, masked)
        masked._start(mask, **with_defaults(options))
        return masked

    def to_dense(self) -> nn.Linear:
        """A ``torch.nn.Linear`` that computes the same: its weight is 0 where inactive."""
        dense = nn.Linear(
            self.in_features,
            self.out_features,
            self.bias is not None,
            device="meta",
            dtype=self.weight.dtype,
        )
        copy_parameters(self, dense)
        zero_inactive(dense.weight, self.mask)
        return dense

    def forward(self, x: Tensor) -> Tensor:
        self._check_order()
        return masked_linear(
            x,
            self.weight,
            self.bits,
            0,
            self.bias,
            weight_is_masked=self.weight_is_masked,
            structure=self.structure,
        )
