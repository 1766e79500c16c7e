"""What the masked modules share: the mask beside the weight, through moves, copies and files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dsr.nn.checks import check_hints
from dsr.units import same_order, unit_bits
from dsr_kernels import BitMask, LayerShape, SparseLayout

KEY = "mask"


class MaskedWeight(nn.Module):
    """A module with a ``weight`` and one mask bit a unit of it.

    The bits follow the weight's memory order. They are made anew whenever a move changes that
    order; files hold the mask in logical order, a bool tensor of the weight's shape named "mask".
    """

    weight: Tensor
    granularity: str
    weight_is_masked: bool
    structure: str
    GRANULARITIES: tuple[str, ...] = ()

    def _start(
        self, mask: Tensor | None, granularity: str, weight_is_masked: bool, structure: str
    ) -> None:
        if granularity not in self.GRANULARITIES:
            raise ValueError(
                f"granularity: expected one of {', '.join(self.GRANULARITIES)}, got {granularity!r}"
            )
        check_hints(weight_is_masked, structure)
        self.granularity = granularity
        self.weight_is_masked, self.structure = weight_is_masked, structure
        if mask is None:
            mask = torch.ones(self.weight.shape, dtype=torch.bool, device=self.weight.device)
        self.mask = mask

    @property
    def mask(self) -> Tensor:
        """bool, of the weight's shape, True where active. Assign to change it.

        With ``weight_is_masked`` an assignment sets what it makes inactive to 0.
        """
        elements = self.bits.layer_elements(0)
        return elements.as_strided(tuple(self.weight.shape), self._strides)

    @mask.setter
    def mask(self, mask: Tensor) -> None:
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
            raise TypeError(f"mask: expected a bool tensor, got {kind}")
        shape = tuple(self.weight.shape)
        if tuple(mask.shape) != shape:
            raise ValueError(f"mask: expected shape {list(shape)}, got {list(mask.shape)}")
        strides, device = tuple(self.weight.stride()), self.weight.device
        units = self._units(strides)
        in_order = torch.empty_strided(shape, strides, dtype=torch.bool, device=device)
        elements = in_order.copy_(mask).as_strided((mask.numel(),), (1,))
        bits = elements if units.unit_size == 1 else unit_bits(elements, units, "mask")
        self.bits = BitMask.from_bools(SparseLayout((units,)), [bits])
        self._strides = strides
        self._keep_masked()

    def _keep_masked(self) -> None:
        """Make ``weight_is_masked`` true."""
        if self.weight_is_masked and self.weight.device == self.bits.device:
            zero_inactive(self.weight, self.mask)

    def _units(self, strides: tuple[int, ...]) -> LayerShape:
        """What a bit stands for in a weight of these strides."""
        shape = tuple(self.weight.shape)
        if self.granularity == "element":
            return LayerShape(self.weight.numel())
        rows, columns = shape[:2]
        size = self.weight[:1, :1].numel() or 1
        contiguous = torch.empty(shape, device="meta")
        if same_order(shape, strides, tuple(contiguous.stride())):
            if self.granularity == "row":
                return LayerShape(rows, max(columns * size, 1))
            return LayerShape(rows * columns, size)
        if self.granularity == "kernel":
            last = contiguous.to(memory_format=torch.channels_last)
            if same_order(shape, strides, tuple(last.stride())):
                return LayerShape(rows, size, columns)
        raise ValueError(
            f"weight: granularity {self.granularity!r} expected a contiguous weight (or a "
            f"channels_last one, for kernels), got strides {list(strides)}; make it contiguous"
        )

    def _check_order(self) -> None:
        """Refuse a weight that was restrided or moved behind the module's back."""
        weight = self.weight
        if weight.stride() != self._strides or weight.device != self.bits.device:
            raise RuntimeError(
                f"weight: expected strides {list(self._strides)} on {self.bits.device}, as when "
                f"the mask was set, got {list(weight.stride())} on {weight.device}; move the "
                "module with .to(), or assign its mask again"
            )

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        mask = self.mask
        result = super()._apply(fn, recurse)
        device = self.weight.device
        if self.weight.stride() != self._strides or device != self.bits.device:
            if mask.is_meta:  # there was no mask yet
                mask = torch.ones(mask.shape, dtype=torch.bool, device=device)
            self.mask = mask
        return result

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + KEY] = self.mask.contiguous()

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        key = prefix + KEY
        if key in unexpected_keys:
            unexpected_keys.remove(key)
        if key not in state_dict:
            missing_keys.append(key)
            self._keep_masked()
            return
        try:
            self.mask = state_dict[key]
        except (TypeError, ValueError) as error:
            error_msgs.append(f"{prefix}{error}")
            self._keep_masked()

    def extra_repr(self) -> str:
        units = "" if self.granularity == "element" else f", granularity={self.granularity!r}"
        return f"{super().extra_repr()}{units}, sparsity={self._sparsity()}"

    def _sparsity(self) -> str:
        units = self.bits.layout.units
        if self.bits.words.is_meta or units == 0:
            return "unknown" if units else "0"
        return f"{1 - int(self.bits.counts().sum()) / units:.4g}"


def copy_parameters(source: nn.Module, target: nn.Module) -> None:
    """Give ``target`` its own copies of ``source``'s weight and bias, strides kept."""
    for name, parameter in source.named_parameters(recurse=False):
        copy = parameter.detach().clone()
        setattr(target, name, nn.Parameter(copy, requires_grad=parameter.requires_grad))
    target.train(source.training)


def zero_inactive(weight: Tensor, mask: Tensor) -> None:
    """+0.0 at every inactive element, in place."""
    with torch.no_grad():
        weight.masked_fill_(~mask, 0.0)


def with_defaults(options: dict[str, Any]) -> dict[str, Any]:
    """The options of ``from_dense``, the ones left out filled in."""
    known = {"granularity": "element", "weight_is_masked": False, "structure": "unstructured"}
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise TypeError(f"options: expected some of {', '.join(known)}, got {', '.join(unknown)}")
    return known | options
