"""Which parameters of a model become sparse, and why each of the others stays dense."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NoReturn

from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils.parametrize import (
    ParametrizationList,
    is_parametrized,
    type_before_parametrizations,
)

Pattern = str | type[nn.Module]
Patterns = Pattern | Sequence[Pattern]

CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
EXCLUDED = "excluded"
WEIGHT_NORM = ("weight_g", "weight_v")  # what the older weight_norm keeps in place of a weight


@dataclass(frozen=True)
class Owned:
    """A parameter and the module attribute that holds it."""

    name: str
    module: nn.Module
    attribute: str
    parameter: nn.Parameter

    @property
    def is_frozen(self) -> bool:
        return not self.parameter.requires_grad


@dataclass(frozen=True)
class _Computed(Owned):
    """What a parametrization or weight_norm computes from parameters, as if it were one itself.

    ``parameter`` is the one with most dimensions: two computed tensors are tied if they share it.
    """

    sources: tuple[nn.Parameter, ...]

    @property
    def is_frozen(self) -> bool:
        return not any(source.requires_grad for source in self.sources)


@dataclass(frozen=True)
class Selection:
    """The parameters chosen, in registration order, and the reason for each one left dense."""

    sparse: tuple[Owned, ...]
    dense: tuple[tuple[Owned, str], ...]


def select_parameters(
    model: nn.Module, include: Patterns | None, exclude: Patterns | None
) -> Selection:
    """Choose the parameters to make sparse.

    Without ``include``: every Linear and convolution weight except the first convolution and
    weights tied to an embedding. With it: exactly what it matches. ``exclude`` then takes away.

    Raises:
        ValueError: a pattern matches nothing, nothing is left to make sparse, or what was asked
            for is parametrized.
    """
    owned, computed = _owned_parameters(model), _computed_tensors(model)
    rules = _Rules(
        None if include is None else _as_list(include, "include"),
        _as_list(exclude, "exclude"),
        next((m for m in model.modules() if isinstance(m, CONVOLUTIONS)), None),
    )
    _check_patterns(model, rules, [*owned, *computed])
    sparse, dense = [], []
    for tied in _by_parameter(owned):
        one, reason = tied[0], rules.why_dense(tied)  # it counts once, under its first name
        if reason:
            dense.append((one, reason))
        else:
            sparse.append(one)
    excluded = {id(one.parameter) for one, reason in dense if reason == EXCLUDED}
    for tied in _by_parameter(computed):
        if id(tied[0].parameter) not in excluded and not rules.why_dense(tied):
            _refuse_computed(tied[0])
    for one in sparse:
        if _is_source(one):
            _refuse_computed(one)
    if not sparse:
        reasons = "; ".join(f"{one.name}: {reason}" for one, reason in dense[:5]) or "no parameter"
        raise ValueError(f"model: no layer to make sparse ({reasons}){_what_to_include(dense)}")
    return Selection(tuple(sparse), tuple(dense))


@dataclass(frozen=True)
class _Rules:
    """What decides whether a weight, given as all its holders, is sparse."""

    include: list[Pattern] | None
    exclude: list[Pattern]
    first_convolution: nn.Module | None

    def why_dense(self, tied: list[Owned]) -> str:
        """The reason, or "" for a weight that becomes sparse."""
        if _cover(self.exclude, tied):
            return EXCLUDED
        if self.include is not None:
            return _why_not_included(tied, self.include)
        if any(o.module is self.first_convolution and o.attribute == "weight" for o in tied):
            return "first convolution"
        return _why_dense(tied)


def _check_patterns(model: nn.Module, rules: _Rules, known: list[Owned]) -> None:
    for argument, patterns in (("include", rules.include or []), ("exclude", rules.exclude)):
        for pattern in patterns:
            if not any(_matches(pattern, one) for one in known):
                raise ValueError(
                    f"{argument}: {_show(pattern)} matches no parameter of the model"
                    f"{_advice(model, pattern)}"
                )


def _by_parameter(owned: list[Owned]) -> list[list[Owned]]:
    holders: dict[int, list[Owned]] = {}
    for one in owned:
        holders.setdefault(id(one.parameter), []).append(one)
    return list(holders.values())


def _owned_parameters(model: nn.Module) -> list[Owned]:
    """Every parameter under all of its names; those of shared modules and aliases included."""
    owned = []
    for module_name, module in model.named_modules(remove_duplicate=False):
        for attribute, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            name = f"{module_name}.{attribute}" if module_name else attribute
            if isinstance(parameter, UninitializedParameter):
                raise ValueError(f"{name}: not initialised yet; run one forward pass first")
            owned.append(Owned(name, module, attribute, parameter))
    return owned


def _computed_tensors(model: nn.Module) -> list[Owned]:
    computed: list[Owned] = []
    for module_name, module in model.named_modules(remove_duplicate=False):
        sources: dict[str, list[nn.Parameter]] = {}
        if is_parametrized(module):
            parametrizations: dict[str, Any] = dict(module.parametrizations)
            sources = {name: list(one.parameters()) for name, one in parametrizations.items()}
        if _is_under_weight_norm(module):
            sources["weight"] = [getattr(module, name) for name in WEIGHT_NORM]
        for attribute, found in sources.items():
            name = f"{module_name}.{attribute}" if module_name else attribute
            if found:
                largest = max(found, key=lambda parameter: parameter.dim())
                computed.append(_Computed(name, module, attribute, largest, tuple(found)))
    return computed


def _is_under_weight_norm(module: nn.Module) -> bool:
    return all(getattr(module, name, None) is not None for name in WEIGHT_NORM)


def _is_source(one: Owned) -> bool:
    """Whether a parameter is one that a tensor is computed from."""
    if _is_under_weight_norm(one.module):
        return one.attribute in WEIGHT_NORM
    return isinstance(one.module, ParametrizationList)


def _why_dense(tied: list[Owned]) -> str:
    one = tied[0]
    embedding = next((o.name for o in tied if isinstance(o.module, EMBEDDINGS)), None)
    if embedding is not None:
        return f"embedding ({embedding})"
    if one.attribute != "weight" or not isinstance(one.module, (nn.Linear, *CONVOLUTIONS)):
        return f"{one.attribute} of {_kind(one)}"
    return _if_frozen(one)


def _why_not_included(tied: list[Owned], patterns: list[Pattern]) -> str:
    one = tied[0]
    if not _cover(patterns, tied):
        return "not included"
    if one.parameter.dim() < 2:
        return f"{one.attribute} of {_kind(one)}"
    return _if_frozen(one)


def _if_frozen(one: Owned) -> str:
    return "frozen (requires_grad=False)" if one.is_frozen else ""


def _cover(patterns: list[Pattern], tied: list[Owned]) -> bool:
    """Whether the patterns cover a weight: any holder's name will do; by type it is an embedding
    if one of its holders is."""
    typed = [one for one in tied if isinstance(one.module, EMBEDDINGS)] or tied
    return any(
        _matches(pattern, one)
        for pattern in patterns
        for one in (tied if isinstance(pattern, str) else typed)
    )


def _matches(pattern: Pattern, one: Owned) -> bool:
    """A type matches the weights of its modules; a glob a parameter's or a module's name."""
    if isinstance(pattern, type):
        return isinstance(one.module, pattern) and one.attribute == "weight"
    module_name = one.name.removesuffix(one.attribute).removesuffix(".")
    return fnmatchcase(one.name, pattern) or (
        one.attribute == "weight" and fnmatchcase(module_name, pattern)
    )


def _refuse_computed(one: Owned) -> NoReturn:
    name = one.name.removesuffix(one.attribute).removesuffix(".") or "model"
    problem = (
        "its weight is under weight_norm; remove it first"
        if _is_under_weight_norm(one.module)
        else "its parameters are parametrized (torch.nn.utils.parametrize); remove the "
        "parametrization first"
    )
    raise ValueError(f"{name}: {problem}, or exclude them to leave them dense")


def _as_list(patterns: Patterns | None, argument: str) -> list[Pattern]:
    if patterns is None:
        return []
    expected = f"{argument}: expected names, globs or module types"
    if isinstance(patterns, (str, type)):
        patterns = (patterns,)
    elif not isinstance(patterns, Iterable):
        raise TypeError(f"{expected}, got {patterns!r}")
    listed = list(patterns)
    for pattern in listed:
        if not isinstance(pattern, str) and not (
            isinstance(pattern, type) and issubclass(pattern, nn.Module)
        ):
            raise TypeError(f"{expected}, got {pattern!r}")
    return listed


def _advice(model: nn.Module, pattern: Pattern) -> str:
    """What to write for the weights within a module that has none itself."""
    within = [
        name
        for name, module in model.named_modules(remove_duplicate=False)
        if name
        and (
            fnmatchcase(name, pattern) if isinstance(pattern, str) else isinstance(module, pattern)
        )
    ]
    if not within:
        return ""
    inside = f"{pattern}.*" if isinstance(pattern, str) else f"{within[0]}.*"
    return f": {within[0]} only contains other modules; for their weights write {inside!r}"


def _what_to_include(dense: list[tuple[Owned, str]]) -> str:
    """Layer types of the model's own, such as a linear layer that stores its weight transposed."""
    kinds = {
        _kind(one): None
        for one, reason in dense
        if reason.startswith("weight of ") and one.parameter.dim() > 1
    }
    if not kinds:
        return ""
    return (
        "; for layers of other types give the type itself, not its name, by include=: "
        f"{', '.join(kinds)}"
    )


def _kind(one: Owned) -> str:
    """The name of the type that a person gave the module: parametrizing replaces it."""
    return str(type_before_parametrizations(one.module).__name__)


def _show(pattern: Pattern) -> str:
    return repr(pattern) if isinstance(pattern, str) else pattern.__name__
