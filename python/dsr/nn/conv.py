"""MaskedConv2d: nn.Conv2d with a mask over its weight."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from dsr.nn.checks import check_geometry, refuse_computed
from dsr.nn.masked import MaskedWeight, copy_parameters, with_defaults, zero_inactive
from dsr_kernels import masked_conv2d


class MaskedConv2d(MaskedWeight, nn.Conv2d):
    """``y = conv2d(x, select(mask, weight, 0), bias)``.

    What lies under the mask is kept and never read, so that a weight can come back (but see
    ``weight_is_masked``). Its gradient there is 0.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, device,
            dtype: as for ``torch.nn.Conv2d``; zeros are the only padding.
        mask: bool, of the weight's shape, True where active; default: all of them.
        granularity: what one mask bit stands for: "element", or "kernel" for a slice [out, in].
        weight_is_masked: the weight is 0 wherever it is inactive, which saves a pass over it in
            each product. What a mask makes inactive is then set to 0, and does not come back; in
            training nothing else may change it there, such as an optimizer's momentum.
        structure: as for ``dsr_kernels.masked_conv2d``; speed alone.

    Attributes:
        mask: bool, of the weight's shape. Assign to change it.

    Raises:
        TypeError, ValueError: an argument is not as described.

    Example:
        >>> layer = dsr.nn.MaskedConv2d(4, 2, 3, padding="same", mask=torch.rand(2, 4, 3, 3) < 0.5)
        >>> layer(torch.ones(1, 4, 8, 8)).shape
        torch.Size([1, 2, 8, 8])
    """

    GRANULARITIES = ("element", "kernel")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        mask: Tensor | None = None,
        granularity: str = "element",
        weight_is_masked: bool = False,
        structure: str = "unstructured",
    ) -> None:
        check_geometry(kernel_size, stride, padding, dilation)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            device=device,
            dtype=dtype,
        )
        self._start(mask, granularity, weight_is_masked, structure)

    @classmethod
    def from_dense(cls, module: nn.Conv2d, mask: Tensor, **options: Any) -> MaskedConv2d:
        """A masked layer with copies of a dense one's parameters.

        Args:
            module: a ``torch.nn.Conv2d`` that pads with zeros.
            mask: bool, of the weight's shape.
            options: granularity, weight_is_masked (the copied weight is then set to 0 where it is
                inactive), structure.

        Raises:
            TypeError, ValueError: an argument is not as described, or the module's weight or bias
                is computed from other parameters.
        """
        if not isinstance(module, nn.Conv2d):
            raise TypeError(f"module: expected a torch.nn.Conv2d, got {type(module).__name__}")
        refuse_computed(module)
        if module.padding_mode != "zeros":
            raise ValueError(
                f"module: expected padding_mode 'zeros', got {module.padding_mode!r}; pad the "
                "input before the layer"
            )
        masked = cls(**_arguments(module), device="meta", dtype=module.weight.dtype)
        copy_parameters(module, masked)
        masked._start(mask, **with_defaults(options))
        return masked

    def to_dense(self) -> nn.Conv2d:
        """A ``torch.nn.Conv2d`` that computes the same: its weight is 0 where inactive."""
        dense = nn.Conv2d(**_arguments(self), device="meta", dtype=self.weight.dtype)
        copy_parameters(self, dense)
        zero_inactive(dense.weight, self.mask)
        return dense

    def forward(self, x: Tensor) -> Tensor:
        self._check_order()
        return masked_conv2d(
            x,
            self.weight,
            self.bits,
            0,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            weight_is_masked=self.weight_is_masked,
            structure=self.structure,
        )


def _arguments(module: nn.Conv2d) -> dict[str, Any]:
    names = (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
    )
    return {name: getattr(module, name) for name in names} | {"bias": module.bias is not None}
