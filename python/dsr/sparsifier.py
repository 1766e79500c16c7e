"""Sparsifier: what `dsr.sparsify` returns, and all a training loop ever talks to."""

from __future__ import annotations

import copy
import logging
import weakref
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.utils.hooks import RemovableHandle

from dsr import checkpoint_state, hooks, optimizers, report
from dsr.claims import claim, release
from dsr.divergence import DivergenceWatch
from dsr.masked import MaskedStorage
from dsr.methods.base import Method
from dsr.nonfinite import NonFiniteWatch, raise_if_nonfinite
from dsr.reallocate import DeviceState, before_step, reallocate, rules_of
from dsr.selection import Selection
from dsr.stats import Stats, collect

logger = logging.getLogger(__name__)


class Sparsifier:
    """Keeps a model's chosen weights sparse while an ordinary loop trains it.

    Made by :func:`dsr.sparsify`. ``optimizer.step()`` is its only clock: after each step the
    inactive weights are zeroed, and when the method says so units move.
    """

    def __init__(
        self,
        model: nn.Module,
        method: Method,
        selection: Selection,
        storage: MaskedStorage,
        *,
        total_steps: int | None,
        distribution: str,
        seed: int,
        strict: bool,
        process_group: distributed.ProcessGroup | None = None,
    ) -> None:
        self.model, self.method, self.selection = model, method, selection
        self.total_steps, self.distribution, self.seed = total_steps, distribution, seed
        self.strict = strict
        self.step = 0
        self._storage = storage
        self._self = weakref.ref(self)
        self._optimizer: torch.optim.Optimizer | None = None
        self._is_in_a_graph = False
        self._guard: RemovableHandle | None = None
        self._handles: list[RemovableHandle] = []
        self._backward_end: hooks.BackwardEnd | None = None
        self._watch = NonFiniteWatch(storage.names)
        self._ranks = DivergenceWatch(process_group)
        self.constant_budget = int(storage.mask.counts().sum())
        self._rules = rules_of(method, self.constant_budget)
        self._state = DeviceState(storage, self._rules, seed)

    def start(self) -> None:
        """Zero the inactive weights and claim the parameters. Called once, by `dsr.sparsify`."""
        self._storage.mask_weights()
        if self._optimizer is None:
            self._guard = self.model.register_forward_pre_hook(hooks.AttachGuard(self.model))
        claim(self._storage.weights, self._self)

    @property
    def budget(self) -> int | None:
        """Active units that the method promises now; None: it promises none."""
        if not self.method.has_budget:
            return None
        units = [shape.units for shape in self._storage.layout.layers]
        scheduled = self.method.budget_at(self.step, self.total_steps, units)
        return self.constant_budget if scheduled is None else scheduled

    def attach(self, optimizer: torch.optim.Optimizer) -> Sparsifier:
        """Follow this optimizer's steps from now on.

        Args:
            optimizer: holds every sparse parameter and has not stepped yet. Load its
                ``state_dict`` afterwards. A weight that grows starts with a state of 0, whatever
                the optimizer starts with.

        Returns:
            self.

        Raises:
            RuntimeError: attached already, or detached and the model made sparse anew since.
            TypeError, ValueError: not an optimizer, a sparse parameter is not in it, or it has
                state for one; FSDP or ZeRO shards the model or the optimizer.
        """
        if self._optimizer is not None:
            raise RuntimeError("attach: this sparsifier follows an optimizer already; detach first")
        optimizers.check_type(optimizer)
        hooks.refuse_sharding(self.model, optimizer)
        optimizers.check_followable(optimizer, self._storage.places, self._self)
        self._storage.check_unchanged()
        if self._rules is None or not self._rules.dense_state:
            self._storage.mask_states(optimizer)  # such as Adagrad makes before it steps
        optimizers.make_hookable(optimizer)
        self._optimizer = optimizer
        if self._guard is not None:
            self._guard.remove()
            self._guard = None
        self._handles.append(optimizer.register_step_pre_hook(self._before_step))
        self._handles.append(optimizer.register_step_post_hook(self._after_step))
        self._backward_end = hooks.BackwardEnd(
            self._storage.weights, self.model.parameters, self._mask_gradients
        )
        claim(self._storage.weights, self._self)
        return self

    def replayed(self) -> None:
        """Count a training step that a CUDA graph has replayed, and reallocate where it is due.

        No hook runs in a replay, and an ``optimizer.step()`` that is captured is not counted: call
        this behind every ``graph.replay()``, on the same stream, and never behind a step that
        really ran. Masks change in place, so that the next replay uses them.

        Raises:
            RuntimeError: no step was captured since ``attach``, or a parameter was replaced.
            NonFiniteError: sparse weights hold NaN or Inf.

        Example:
            >>> graph.replay(), sparse.replayed()  # the graph holds an optimizer.step()
        """
        if self._optimizer is None or not self._is_in_a_graph:
            raise RuntimeError(
                "replayed: no optimizer.step() was captured in a CUDA graph since attach; a step "
                "that really runs is counted by itself"
            )
        self._storage.check_unchanged()
        self._watch.check()
        self._advance(self._optimizer)

    def detach(self) -> None:
        """Remove every hook. The weights stay as they are; nothing keeps them sparse any more."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self._backward_end is not None:
            self._backward_end.remove()
            self._backward_end = None
        if self._guard is not None:
            self._guard.remove()
            self._guard = None
        self._optimizer, self._is_in_a_graph = None, False
        release(self._storage.weights, self._self)

    def penalty(self) -> Tensor:
        """The method's regularization term, to be added to the loss: l1 * sum \\|w\\|, a scalar.

        Inactive weights are 0 and add nothing.
        """
        weights = self._storage.weights
        if self.method.l1 == 0:
            return torch.zeros((), device=self._storage.device)
        norms = [weight.float().abs().sum() for weight in weights]
        return torch.stack(norms).sum() * self.method.l1

    def masks(self) -> dict[str, Tensor]:
        """A copy of the masks: bool tensors of the weights' shapes by parameter name."""
        return self._storage.masks()

    def stats(self) -> Stats:
        """Counts, threshold and layer sparsities, copied to the host (waits for the device).

        Raises:
            NonFiniteError: sparse weights hold NaN or Inf.
            RankDivergenceError: the masks of the ranks differ.
        """
        self._check()
        return collect(self)

    def state_dict(self) -> dict[str, Any]:
        """Masks, threshold and counters as plain tensors, numbers and strings.

        Raises:
            NonFiniteError: sparse weights hold NaN or Inf.
            RankDivergenceError: the masks of the ranks differ.
        """
        self._check()
        return checkpoint_state.dump(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave, before or after the model's and optimizer's.

        Raises:
            ValueError, TypeError: it belongs to another model, method or schedule, or is
                malformed; nothing was changed.
        """
        checkpoint_state.load(self, state)
        self._ranks.forget()

    def apply_to(self, other: nn.Module) -> None:
        """Zero the inactive weights of another copy of the model, such as an average of weights.

        Raises:
            ValueError: ``other`` lacks one of the sparse parameters, or has another shape.
        """
        report.apply_masks(self.masks(), other)

    def export(self) -> nn.Module:
        """A copy of the model without hooks or types of this package; inactive weights are 0."""
        plain = copy.deepcopy(self.model)
        if self._guard is not None:
            plain._forward_pre_hooks.pop(self._guard.id, None)
        self.apply_to(plain)
        return plain

    def __repr__(self) -> str:
        return report.table(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Sparsifier:
        raise TypeError("a Sparsifier cannot be copied; copy the model and use apply_to or export")

    def _mask_gradients(self) -> None:
        rules = self._rules
        if rules is not None and rules.dense_gradient != "never":
            if rules.dense_gradient == "always":
                return
            hooks.refuse_captured_backward(self.method, self._storage.device)
            if self.method.due(self.step + 1, self.total_steps):
                return
        self._follow_device()
        self._storage.mask_gradients()

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if optimizers.is_nested(optimizer):
            return
        self._storage.check_unchanged()
        if self.step == 0:
            self.method.check_optimizer(optimizer, self._storage.weights)
        changes = None if self._rules is None else self._rules.before_step
        if hooks.is_captured(self._storage.device):
            hooks.refuse_capture(self.method, self._rules, self.strict, optimizer)
            return
        if not (self.strict or changes) or optimizers.step_was_skipped(optimizer):
            return
        if self.strict:
            weights = self._storage.weights
            raise_if_nonfinite(self._storage.names, [w.grad for w in weights], "gradients")
            raise_if_nonfinite(self._storage.names, weights, "weights")
        if self._rules is not None and changes:
            optimizers.refuse_closure(args, kwargs)
            self._follow_device()
            before_step(changes, self._storage, self._state, optimizer, **self._clock(1))

    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if optimizers.is_nested(optimizer):
            return
        if hooks.is_captured(self._storage.device):
            self._is_in_a_graph = True
            self._storage.mask_weights()
            return
        if optimizers.step_was_skipped(optimizer):
            return
        self._follow_device()
        self._watch.check()
        nonfinite = self._storage.mask_weights()
        self._advance(optimizer)
        if nonfinite is not None:
            self._watch.submit(nonfinite)

    def _advance(self, optimizer: torch.optim.Optimizer) -> None:
        """Count a step that changed weights, and reallocate where the method says so."""
        self.step += 1
        if self.step - 1 == self.total_steps:
            logger.warning("step %d is beyond total_steps: schedules have ended", self.step)
        if self._rules is not None and self.method.due(self.step, self.total_steps):
            compared = self._ranks.due(self.step)
            if compared:
                self._ranks.check()
            counts, missing = reallocate(
                self._rules, self._storage, self._state, optimizer, **self._clock(0)
            )
            if compared:
                self._ranks.submit(self._storage.mask.words, self._state.number, self.step)
            self._watch.submit(counts.nonfinite, missing)

    def _clock(self, ahead: int) -> dict[str, Any]:
        """What rules are told of the step that is ``ahead`` of those taken."""
        return {"seed": self.seed, "step": self.step + ahead, "total_steps": self.total_steps}

    def _follow_device(self) -> None:
        if self._storage.follow_device():
            self._state.to(self._storage.device)

    def _check(self) -> None:
        self._ranks.check()
        self._watch.check(wait=True)
        raise_if_nonfinite(self._storage.names, self._storage.weights, "weights")
