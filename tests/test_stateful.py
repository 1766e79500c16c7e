"""Random sequences of everything a training loop does, with the promises checked after each.

The budget is exact and inactive weights are bitwise +0.0. What is loaded goes on as what was saved,
on any backend. NaN and Inf are reported and corrupt nothing. A refused call changes nothing.
"""

import copy
import math
import os
import re

import hypothesis
import pytest
import torch
from bad_calls import BAD_CALLS
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test
from nets import batch, is_positive_zero
from training_machine import LAYERS, TrainingMachine
from training_run import METHODS, folder_content

import dsr
import dsr_kernels

RUNS = 750
SETTINGS = hypothesis.settings(
    max_examples=-(-RUNS // len(METHODS)),
    stateful_step_count=12,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
PLACES = st.integers(0, 10**6)


class Training(TrainingMachine):
    """What can happen to a run between its steps."""

    @rule(layer=LAYERS, place=PLACES)
    def skip_by_amp(self, layer, place):
        run = self.run
        if run.fused and not run.optimizer.state:
            self.advance()  # torch's fused optimizers make their state even in a skipped step
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        run.backward(scaler)
        before = run.state()
        self.at(layer, place, torch.inf, "gradient")
        scaler.step(run.optimizer)
        assert run.state() == before

    @rule(
        layer=LAYERS,
        place=PLACES,
        value=st.sampled_from((torch.nan, torch.inf, -torch.inf)),
        where=st.sampled_from(("weight", "gradient")),
    )
    def poison(self, layer, place, value, where):
        run, sparse = self.run, self.run.sparse
        run.backward()
        name, index = self.at(layer, place, value, where)
        due, step, count = run.due, sparse.step, self.counts()[name]
        before = run.everything()
        if where == "weight":
            for read in (sparse.stats, sparse.state_dict):
                with pytest.raises(dsr.NonFiniteError, match=re.escape(f"{name}: 1")):
                    read()
        with pytest.raises(dsr.NonFiniteError, match=re.escape(name)):
            run.optimizer.step()
        if run.strict:
            assert run.everything() == before
        else:
            assert sparse.step == step + 1
            # An infinity may change a weight's sign, and that is what DeepR prunes by.
            flipped = self.method.startswith("deepr") and not math.isnan(value)
            if not flipped and (count > 1 or not due):
                assert sparse.masks()[name][index]  # never pruned while the layer has another
        run.check_promises()
        run.repair()

    def at(self, layer, place, value, where):
        """Write ``value`` over one active weight or its gradient."""
        layers = [item for item in self.run.weights() if item[2].any()]
        name, weight, mask = layers[layer % len(layers)]
        places = mask.nonzero()
        index = tuple(places[place % len(places)].tolist())
        (weight.data if where == "weight" else weight.grad)[index] = value
        return name, index

    @rule(value=st.sampled_from((0.0, -0.0, 1e-40, 0.05, -0.5)))
    def make_all_weights_equal(self, value):
        for _, weight, mask in self.run.weights():
            weight.data[mask] = value

    @rule(dtype=st.sampled_from((torch.float32, torch.bfloat16)), cast_state=st.booleans())
    @precondition(lambda self: self.run.trains_in_16_bits)
    def move_dtype(self, dtype, cast_state):
        run = self.run
        run.model.to(dtype).to("cpu")
        # Many optimizers cannot step with state of another dtype; loading it casts it.
        if cast_state or not run.mixes_dtypes:
            run.optimizer.load_state_dict(run.optimizer.state_dict())
        assert run.dtype == dtype

    @rule()
    def save(self):
        self.saves += 1
        before = self.run.everything()
        self.checkpoints.save(self.saves, **self.run.parts)
        assert self.run.everything() == before
        self.saved = (self.run.state(), self.run.dtype)

    @rule(fresh=st.booleans())
    @precondition(lambda self: self.saved)
    def load(self, fresh):
        saved, dtype = self.saved
        run = self.run.fresh() if fresh else self.run
        run.model.to(dtype)
        assert self.checkpoints.load_latest(**run.parts) == self.saves
        assert run.state() == saved
        self.run = run

    @rule()
    def remember(self):
        run = self.run
        if run.has_wide_state:
            return  # torch's own load_state_dict casts it; Checkpoints do not
        states = {name: run.parts[name].state_dict() for name in ("model", "optimizer", "sparse")}
        states = copy.deepcopy({**states, "progress": run.progress})
        self.remembered = (states, run.state(), run.dtype)

    @rule(fresh=st.booleans(), order=st.permutations(("model", "optimizer", "sparse")))
    @precondition(lambda self: self.remembered)
    def load_state_dicts(self, fresh, order):
        states, expected, dtype = copy.deepcopy(self.remembered)
        run = self.run.fresh() if fresh else self.run
        run.model.to(dtype)
        for name in order:
            run.parts[name].load_state_dict(states[name])
        run.progress.update(states["progress"])
        assert run.state() == expected
        self.run = run

    @rule(backend=st.sampled_from(("cpu", "reference")))
    def a_resumed_copy_goes_on_alike(self, backend):
        self.save()
        copied = self.run.fresh()
        self.checkpoints.load_latest(**copied.parts)
        for run, forced in ((self.run, "cpu"), (copied, backend)):
            with dsr_kernels.backend(forced):
                for _ in range(2):
                    run.backward()
                    run.optimizer.step()
        assert copied.state() == self.run.state()

    @rule()
    def mask_an_average(self):
        run, before = self.run, self.run.everything()
        average = copy.deepcopy(run.model)
        with torch.no_grad():
            for parameter in average.parameters():
                parameter.sub_(0.25)
        run.sparse.apply_to(average)
        for name, weight, mask in run.weights():
            averaged = average.get_parameter(name).detach()
            assert is_positive_zero(averaged[~mask])
            assert torch.equal(averaged[mask], weight.detach()[mask] - 0.25)
        assert run.everything() == before

    @rule()
    def export(self):
        run, before = self.run, self.run.everything()
        plain = run.sparse.export()
        x, y = batch(plain, 0, size=8)
        logits = plain(x.to(run.dtype))
        assert torch.equal(logits, run.model(x.to(run.dtype)))
        torch.nn.functional.cross_entropy(logits.float(), y).backward()
        torch.optim.SGD(plain.parameters(), lr=0.1).step()
        assert run.everything() == before

    @rule()
    def change_the_optimizer(self):
        run = self.run
        run.sparse.detach()
        run.optimizer = run.new_optimizer()
        run.optimizer.zero_grad()
        run.sparse.attach(run.optimizer)
        with pytest.raises(ValueError, match="is sparse already"):
            dsr.sparsify(run.model, dsr.Static(0.5))

    @rule(name=st.sampled_from(sorted(BAD_CALLS)))
    def call_badly(self, name):
        call, error, text = BAD_CALLS[name]
        before, files = self.run.everything(), folder_content(self.folder)
        with pytest.raises(error, match=re.escape(text)):
            call(self.run, self.checkpoints)
        assert self.run.everything() == before
        assert folder_content(self.folder) == files

    @rule(how=st.sampled_from(("replace", "restride", "double")))
    def tamper(self, how):
        run = self.run
        run.backward()
        before, dtype = run.everything(), run.dtype
        module = run.model.get_submodule(run.weights()[0][0].removesuffix(".weight"))
        weight, data = module.weight, module.weight.data
        if how == "replace":
            module.weight = torch.nn.Parameter(data.clone())
        elif how == "restride":
            weight.data = data.transpose(0, 1).clone().contiguous().transpose(0, 1)
        else:
            run.model.double()
        with pytest.raises(RuntimeError, match=r"replaced|strides changed|float64"):
            run.optimizer.step()
        if how == "replace":
            module.weight = weight
        elif how == "restride":
            weight.data = data
        else:
            run.model.to(dtype)
        assert run.everything() == before


@pytest.mark.parametrize("method", METHODS)
def test_promises_hold_whatever_happens(method, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: None)  # no power fails here, and it is slow
    machine = type(f"Training {method}", (Training,), {"method": method})
    seeded = hypothesis.seed(sorted(METHODS).index(method))(machine)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run_state_machine_as_test(seeded, settings=SETTINGS)
    finally:
        torch.set_num_threads(threads)
