"""Masked storage: each module keeps its dense weight, and inactive entries are exactly 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from dsr.hooks import is_flattened
from dsr.methods.protocol import SparseParam
from dsr.selection import Owned
from dsr.units import layer_shape, same_order, unit_bits
from dsr_kernels import BitMask, SparseLayout, apply_mask_, mask_and_count_, reset_state_

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
DISTRIBUTED_TYPES = ("DTensor", "ShardedTensor")


@dataclass(frozen=True)
class Place:
    """Where a sparse parameter lives, and the memory order its mask bits follow."""

    owned: Owned
    strides: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.owned.name

    @property
    def parameter(self) -> nn.Parameter:
        return self.owned.parameter


class MaskedStorage:
    """The sparse parameters of a model, their mask, and what is done to all of them at once."""

    def __init__(self, chosen: Sequence[Owned], granularity: str = "element") -> None:
        for one in chosen:
            _check_parameter(one.name, one.parameter)
        self.places = [Place(one, tuple(one.parameter.stride())) for one in chosen]
        devices = {str(place.parameter.device): place.name for place in self.places}
        if len(devices) > 1:
            raise ValueError(f"model: expected all sparse layers on one device, got {devices}")
        self.layout = SparseLayout(tuple(layer_shape(one, granularity) for one in chosen))
        self.mask = BitMask.zeros(self.layout, self.device)
        self.previous = self.mask.clone()

    @property
    def names(self) -> list[str]:
        return [place.name for place in self.places]

    @property
    def weights(self) -> list[Tensor]:
        return [place.parameter for place in self.places]

    @property
    def device(self) -> torch.device:
        return self.places[0].parameter.device

    def check_unchanged(self) -> None:
        """Refuse a parameter that was replaced, restrided or moved alone since registration.

        Raises:
            RuntimeError: with the parameter's name and how to mend it.
        """
        device = self.device
        for place in self.places:
            one = place.owned
            if one.module._parameters.get(one.attribute) is not one.parameter:
                raise RuntimeError(
                    f"{one.name}: the parameter was replaced after dsr.sparsify; change it in "
                    "place, or call dsr.sparsify on the new one"
                )
            parameter = one.parameter
            if is_flattened(parameter):
                raise RuntimeError(
                    f"{one.name}: FullyShardedDataParallel shards it since dsr.sparsify; FSDP is "
                    "not supported, use DDP"
                )
            if not parameter.requires_grad:
                raise RuntimeError(
                    f"{one.name}: the parameter was frozen after dsr.sparsify; call "
                    "sparse.detach() first, or leave it trainable"
                )
            if parameter.device != device or parameter.dtype not in DTYPES:
                raise RuntimeError(
                    f"{one.name}: expected {', '.join(map(str, DTYPES))} on {device}, got "
                    f"{parameter.dtype} on {parameter.device}; move the whole model at once"
                )
            if parameter.stride() != place.strides and not same_order(
                tuple(parameter.shape), tuple(parameter.stride()), place.strides
            ):
                raise RuntimeError(
                    f"{one.name}: strides changed from {list(place.strides)} to "
                    f"{list(parameter.stride())}; choose the memory format before dsr.sparsify"
                )

    def follow_device(self) -> bool:
        """Move the masks after the weights. Returns whether anything moved."""
        if self.mask.device == self.device:
            return False
        self.mask, self.previous = self.mask.to(self.device), self.previous.to(self.device)
        return True

    def mask_weights(self) -> Tensor | None:
        """Zero the inactive weights. Where they lie on a CPU, the same pass counts NaN and Inf.

        Returns:
            int64 [layers], or None on a GPU.
        """
        if self.device.type == "cpu":
            return mask_and_count_(self.weights, self.mask)
        apply_mask_(self.weights, self.mask)
        return None

    def mask_gradients(self) -> None:
        """Zero the gradients of inactive weights, in one launch."""
        gradients, layers = self.gradients()
        apply_mask_(gradients, self.mask, layers)

    def gradients(self) -> tuple[list[Tensor], list[int]]:
        """The gradients there are, in their weights' memory order, and whose they are."""
        gradients, layers = [], []
        for layer, place in enumerate(self.places):
            gradient = place.parameter.grad
            if gradient is not None:
                gradients.append(self._in_order(gradient, place, "gradient"))
                layers.append(layer)
        return gradients, layers

    def mask_states(self, optimizer: torch.optim.Optimizer) -> None:
        states, layers = self._states(optimizer)
        apply_mask_(states, self.mask, layers)

    def reset_states(self, optimizer: torch.optim.Optimizer, grown_only: bool = False) -> None:
        """Zero the optimizer's state at every unit that this reallocation changed, or grew."""
        states, layers = self._states(optimizer)
        previous = self.previous
        if grown_only:
            previous = BitMask(self.layout, previous.words & self.mask.words)
        reset_state_(states, self.mask, previous, layers)

    def views(self, optimizer: torch.optim.Optimizer) -> list[SparseParam]:
        """The layers as rules of one's own see them."""
        return [
            SparseParam(
                place.name,
                place.parameter,
                dict(_state_of(optimizer, place)),
                partial(self._mask_of, layer),
            )
            for layer, place in enumerate(self.places)
        ]

    def learning_rates(self, optimizer: torch.optim.Optimizer) -> list[float | Tensor]:
        """The learning rate of each layer's weight now."""
        rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
        return [rates[id(place.parameter)] for place in self.places]

    def _mask_of(self, layer: int, mask: BitMask | None = None) -> Tensor:
        place = self.places[layer]
        return (
            (self.mask if mask is None else mask)
            .layer_elements(layer)
            .as_strided(tuple(place.parameter.shape), place.strides)
        )

    def masks(self, mask: BitMask | None = None) -> dict[str, Tensor]:
        """bool tensors of the weights' shapes, True where active, by parameter name."""
        return {place.name: self._mask_of(layer, mask) for layer, place in enumerate(self.places)}

    def as_mask(self, masks: dict[str, Tensor]) -> BitMask:
        """The bits of bool tensors of the weights' shapes, on the host.

        Raises:
            ValueError, TypeError: a name is missing or unknown, or a mask is not as described.
        """
        _check_names(set(masks), set(self.names))
        bits = []
        for place, units in zip(self.places, self.layout.layers, strict=True):
            given, shape = masks[place.name], place.parameter.shape
            name = f"masks[{place.name!r}]"
            if not isinstance(given, Tensor) or given.dtype != torch.bool:
                raise TypeError(f"{name}: expected a bool tensor, got {given!r:.80}")
            if given.shape != shape:
                raise ValueError(f"{name}: expected shape {list(shape)}, got {list(given.shape)}")
            in_order = torch.empty_strided(tuple(shape), place.strides, dtype=torch.bool)
            elements = in_order.copy_(given).as_strided((given.numel(),), (1,))
            bits.append(unit_bits(elements, units, name))
        return BitMask.from_bools(self.layout, bits)

    def _states(self, optimizer: torch.optim.Optimizer) -> tuple[list[Tensor], list[int]]:
        states, layers = [], []
        for layer, place in enumerate(self.places):
            for key, state in _state_of(optimizer, place):
                states.append(self._in_order(state, place, key, optimizer))
                layers.append(layer)
        return states, layers

    def _in_order(
        self,
        tensor: Tensor,
        place: Place,
        key: str,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> Tensor:
        """The tensor in its weight's memory order; where it is not, it is replaced by a copy."""
        strides = tensor.stride()
        if strides == place.strides:  # nearly always, and this runs for every tensor in every step
            return tensor
        shape = tuple(place.parameter.shape)
        if same_order(shape, tuple(strides), place.strides):
            return tensor
        copy = torch.empty_strided(shape, place.strides, dtype=tensor.dtype, device=tensor.device)
        copy.copy_(tensor)
        if optimizer is None:
            place.parameter.grad = copy
        else:
            optimizer.state[place.parameter][key] = copy
        return copy


def _state_of(optimizer: torch.optim.Optimizer, place: Place) -> list[tuple[str, Tensor]]:
    """The optimizer's tensors that hold one number a weight, such as momentum."""
    parameter = place.parameter
    return [
        (key, value)
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
        and value.shape == parameter.shape
        and value.dim() > 0
        and value.is_floating_point()
    ]


def _check_parameter(name: str, parameter: nn.Parameter) -> None:
    if type(parameter).__name__ in DISTRIBUTED_TYPES or hasattr(parameter, "device_mesh"):
        raise TypeError(f"{name}: a sharded {type(parameter).__name__}; FSDP is not supported")
    if parameter.dtype not in DTYPES:
        expected = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
        raise TypeError(f"{name}: expected dtype {expected}, got {parameter.dtype}")
    shape, strides = tuple(parameter.shape), tuple(parameter.stride())
    dense = torch.empty_like(parameter, memory_format=torch.preserve_format).stride()
    if not same_order(shape, strides, tuple(dense)):
        raise ValueError(
            f"{name}: expected memory without gaps or overlaps, got strides {list(strides)}; "
            "make it contiguous first"
        )


def _check_names(given: set[str], expected: set[str]) -> None:
    for names, problem in ((expected - given, "missing"), (given - expected, "not sparse here")):
        if names:
            raise ValueError(f"masks: {problem}: {', '.join(sorted(names))}")
