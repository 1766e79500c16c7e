"""The core of the stateful property test: a run, its optimizer steps, and what must hold then."""

import shutil
import tempfile

import torch
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from nets import OPTIMIZERS, is_positive_zero
from training_run import FUSED, NETS, PER_LAYER, WITHOUT_MOMENTUM, Run

import dsr

LAYERS = st.integers(0, 2)


class TrainingMachine(RuleBasedStateMachine):
    method = ""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.mkdtemp()

    def teardown(self):
        shutil.rmtree(self.folder)

    @initialize(
        optimizer=st.sampled_from(sorted(OPTIMIZERS)),
        net=st.sampled_from(sorted(NETS)),
        fused=st.booleans(),
        strict=st.booleans(),
        seed=st.sampled_from((0, 3, 2**64 - 1)),
        steps=st.integers(0, 5),
    )
    def start(self, optimizer, net, fused, strict, seed, steps):
        if self.method.startswith("sparse-momentum") and optimizer in WITHOUT_MOMENTUM:
            optimizer = "momentum"
        self.run = Run(self.method, optimizer, net, fused and optimizer in FUSED, strict, seed)
        self.budget = self.run.sparse.budget
        self.per_layer = self.counts()
        self.checkpoints = dsr.Checkpoints(self.folder, keep=2)
        self.saves, self.saved, self.remembered = 0, None, None
        for _ in range(steps):
            self.advance()

    def counts(self):
        """Active units of each layer."""
        storage = self.run.sparse._storage
        return dict(zip(storage.names, storage.mask.counts().tolist(), strict=True))

    @invariant()
    def promises(self):
        self.run.check_promises()
        sparse = self.run.sparse
        if self.method != "compressed":
            assert sparse.budget == self.budget
        if self.method in PER_LAYER:
            assert self.counts() == self.per_layer

    @rule(steps=st.integers(1, 3), amp=st.booleans(), micro_batches=st.integers(1, 2))
    def step(self, steps, amp, micro_batches):
        for _ in range(steps):
            self.advance(amp, micro_batches)

    @rule()
    def reallocate(self):
        for _ in range(3):
            due = self.run.due
            self.advance()
            if due:
                break

    @rule(layer=LAYERS)
    @precondition(lambda self: self.run.has_all_state)
    def step_without_one_gradient(self, layer):
        self.advance(without=layer)

    def advance(self, amp=False, micro_batches=1, without=None):
        """One optimizer step: exactly its consequences."""
        run, sparse = self.run, self.run.sparse
        due, step, masks = run.due, sparse.step, sparse.masks()
        units = sparse._storage.mask.to_bools()
        number = int(sparse._state.number)
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0) if amp else None
        run.backward(scaler, micro_batches)
        if without is not None:
            weights = run.weights()
            weights[without % len(weights)][1].grad = None
        run.optimizer.step() if scaler is None else scaler.step(run.optimizer)
        assert sparse.step == step + 1
        assert int(sparse._state.number) == number + due
        if due:
            self.check_zeros(masks)
            self.check_counts(units)
        else:
            assert all(torch.equal(mask, masks[name]) for name, mask in sparse.masks().items())

    def check_zeros(self, before):
        """What was pruned or grown is 0, and so is its optimizer state unless that lives on."""
        run, rules = self.run, self.run.method.rules(self.budget)
        for name, weight, mask in run.weights():
            pruned, grown = before[name] & ~mask, mask & ~before[name]
            values = weight.detach()
            assert is_positive_zero(values[pruned])
            if rules.dormant_start is not None:
                assert torch.isfinite(values[grown]).all()  # what the walk past 0 has left
            elif getattr(run.method, "random_signs", False):
                assert bool((values[grown].abs() < 4e-12).all())  # normal numbers times 1e-12
            else:
                assert is_positive_zero(values[grown])
            cleared = grown if rules.dense_state else pruned | grown
            if rules.keep_state or (rules.dense_state and not rules.clear_grown):
                continue
            for state in run.optimizer.state[weight].values():
                if isinstance(state, torch.Tensor) and state.shape == weight.shape:
                    assert not state[cleared].any()

    def check_counts(self, before):
        sparse, rules = self.run.sparse, self.run.method.rules(self.budget)
        stats, after = sparse.stats(), sparse._storage.mask.to_bools()
        lost = sum(int((a & ~b).sum()) for a, b in zip(before, after, strict=True))
        gained = sum(int((b & ~a).sum()) for a, b in zip(before, after, strict=True))
        again = stats.pruned - lost  # pruned and grown back at once
        assert again >= 0
        assert stats.grown == (gained + again if rules.grow is not None else 0)
        if self.run.method.has_budget:
            assert stats.pruned == stats.grown or rules.grow is None
