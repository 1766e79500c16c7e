"""Which optimizers a sparsifier follows: unusual ones too, or it says what to attach instead."""

import functools
from collections import OrderedDict, defaultdict

import pytest
import torch
from nets import assert_promises, batch, mlp, train
from torch import nn

import dsr
from dsr.hooks import BackwardEnd


class Wrapper(torch.optim.Optimizer):
    """An optimizer by type alone, as wrappers are that forward every call."""

    def __init__(self, base):
        self.base = base

    @property
    def state(self):
        return self.base.state

    @property
    def param_groups(self):
        return self.base.param_groups

    def step(self, closure=None):
        self.base.step(closure)


class Bare(torch.optim.Optimizer):
    """Gradient descent that makes its own attributes instead of calling ``Optimizer.__init__``."""

    def __init__(self, parameters):
        self.defaults, self.state = {"lr": 0.1}, defaultdict(dict)
        self.param_groups = [{"params": list(parameters), "lr": 0.1}]
        hooks = ("step_pre", "step_post", "state_dict_pre", "state_dict_post")
        for name in (*hooks, "load_state_dict_pre", "load_state_dict_post"):
            setattr(self, f"_optimizer_{name}_hooks", OrderedDict())

    def step(self, closure=None):
        for parameter in self.param_groups[0]["params"]:
            parameter.data.add_(parameter.grad + 1e-3, alpha=-0.1)


class Copying(torch.optim.Optimizer):
    """A wrapper that has its base's attributes, hooks too, and calls its base's step."""

    def __init__(self, base):
        self.__dict__.update(base.__dict__, base=base)

    def step(self, closure=None):
        self.base.step(closure)


class Calling(torch.optim.SGD):
    """Calls the step of the class it derives from, and then changes weights itself."""

    def step(self, closure=None):
        super().step(closure)
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.add_(1e-3)


class Raising(Calling):
    def step(self, closure=None):
        super().step(closure)
        if self.raises:
            raise ArithmeticError


@pytest.mark.parametrize("kind", [Copying, Calling])
@pytest.mark.parametrize("method", [dsr.DSR(0.8, period=2, stop=None), dsr.DeepR(0.8)])
def test_a_step_within_a_step_counts_once(kind, method):
    model = mlp()
    sparse = dsr.sparsify(model, method, total_steps=100)
    if kind is Copying:
        optimizer = Copying(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    else:
        optimizer = Calling(model.parameters(), lr=0.1, momentum=0.9)
    sparse.attach(optimizer)
    train(model, sparse, optimizer, 4, each=lambda _: assert_promises(model, sparse, sparse.budget))
    assert sparse.step == 4
    assert sparse.stats().reallocations == (2 if isinstance(method, dsr.DSR) else 4)


def test_steps_of_a_class_that_was_given_another_step_count():
    def decorated(step):
        @functools.wraps(step)
        def wrapper(self, *args, **kwargs):
            return step(self, *args, **kwargs)

        return wrapper

    class Own(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)

    for step in (decorated(decorated(Own.step)), lambda self: torch.optim.SGD.step(self)):
        model = mlp()
        optimizer = Own(model.parameters(), lr=0.1)
        Own.step = step
        sparse = dsr.sparsify(model, dsr.Static(0.8), optimizer=optimizer)
        train(model, sparse, optimizer, 3)
        assert sparse.step == 3
        assert_promises(model, sparse, sparse.budget)


def test_parameters_can_be_swapped_after_attach():
    model = nn.Sequential(*mlp(), nn.BatchNorm1d(4))
    sparse = dsr.sparsify(model, dsr.Static(0.8))
    sparse.attach(torch.optim.SGD(model.parameters(), lr=0.1))
    torch.utils.swap_tensors(model[5].weight, nn.Parameter(torch.zeros(4)))
    assert not model[5].weight.any()


def test_steps_count_after_one_that_raised():
    model = mlp()
    sparse = dsr.sparsify(model, dsr.Static(0.8))
    optimizer = Raising(model.parameters(), lr=0.1)
    optimizer.raises = True
    sparse.attach(optimizer)
    with pytest.raises(ArithmeticError):
        train(model, sparse, optimizer, 1)
    optimizer.raises = False
    train(model, sparse, optimizer, 3)
    assert sparse.step == 3


def test_an_attach_that_fails_leaves_the_guard():
    model = mlp()
    sparse = dsr.sparsify(model, dsr.Static(0.8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for parameter in model.parameters():
        state = torch.zeros(parameter.shape, dtype=torch.float8_e4m3fn)
        optimizer.state[parameter] = {"step": torch.tensor(0.0), "scaled": state}
    with pytest.raises(TypeError, match=r"tensors\[0\]: expected dtype"):
        sparse.attach(optimizer)
    with pytest.raises(RuntimeError, match=r"before sparse\.attach"):
        model(torch.randn(2, 12))
    optimizer.state.clear()
    assert sparse.attach(optimizer) is sparse


def test_a_wrapper_without_hooks_is_refused_and_what_it_wraps_is_not():
    model = mlp()
    sparse = dsr.sparsify(model, dsr.Static(0.5))
    base = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TypeError, match=r"optimizer: expected one .*, got Wrapper, .* it wraps"):
        sparse.attach(Wrapper(base))
    with pytest.raises(RuntimeError, match=r"before sparse\.attach"):  # the guard is still there
        model(torch.randn(2, 12))
    assert sparse.attach(base) is sparse


def test_the_first_step_counts_even_without_zero_grad():
    model = mlp()
    sparse = dsr.sparsify(model, dsr.Static(0.5))
    optimizer = Bare(model.parameters())
    sparse.attach(optimizer)
    model(torch.randn(2, 12)).sum().backward()
    optimizer.step()
    assert sparse.step == 1
    assert_promises(model, sparse, sparse.budget)


@pytest.mark.parametrize("method", [dsr.DSR(0.8, period=2, stop=None), dsr.RigL(0.8, period=2)])
def test_state_made_before_the_first_step_is_masked(method):
    model = mlp()
    sparse = dsr.sparsify(model, method, total_steps=100)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.05, initial_accumulator_value=0.1)
    sparse.attach(optimizer)
    for name, mask in sparse.masks().items():
        squares = optimizer.state[dict(model.named_parameters())[name]]["sum"]
        assert not squares[~mask].any()
        assert (squares[mask] == torch.tensor(0.1)).all()
    train(model, sparse, optimizer, 8, each=lambda _: assert_promises(model, sparse, sparse.budget))


def test_state_of_a_step_is_refused():
    model = mlp()
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.05)
    nn.functional.cross_entropy(model(torch.randn(2, 12)), torch.tensor([0, 1])).backward()
    optimizer.step()
    sparse = dsr.sparsify(model, dsr.Static(0.5))
    with pytest.raises(ValueError, match=r"has state for 0\.weight already"):
        sparse.attach(optimizer)


@pytest.mark.parametrize("when", ["before attach", "after attach"])
def test_with_a_process_group_every_parameter_tells_of_the_end(when, monkeypatch):
    """DDP's reduction ends with the last of them, sparse or not."""
    joined = {"now": when == "before attach"}
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: joined["now"])
    model = mlp()
    ends = []
    end = BackwardEnd([model[0].weight], model.parameters, lambda: ends.append(1))
    model(torch.randn(2, 12)).sum().backward()
    assert len(ends) == 1
    model[4](torch.randn(2, 30)).sum().backward()  # reaches no sparse parameter
    assert len(ends) == (2 if joined["now"] else 1)
    joined["now"] = True
    model(torch.randn(2, 12)).sum().backward()
    before = len(ends)
    model[4](torch.randn(2, 30)).sum().backward()
    assert len(ends) == before + 1
    end.remove()
    model(torch.randn(2, 12)).sum().backward()
    assert len(ends) == before + 1


def test_a_compiled_step_is_followed_in_silence(recwarn):
    model = mlp()
    sparse = dsr.sparsify(model, dsr.DSR(0.8, period=2, stop=None))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparse.attach(optimizer)
    torch._dynamo.reset()
    step = torch.compile(optimizer.step, backend="eager")
    for number in range(4):
        optimizer.zero_grad()
        x, y = batch(model, number)
        nn.functional.cross_entropy(model(x), y).backward()
        step()
        assert_promises(model, sparse, sparse.budget)
    assert sparse.step == 4
    assert not [str(w.message) for w in recwarn if "does not know how to trace" in str(w.message)]
