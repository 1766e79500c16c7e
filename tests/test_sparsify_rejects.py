"""Bad input is refused by name, and nothing has changed (P9)."""

import copy

import pytest
import torch
from nets import mlp
from torch import nn
from torch.nn.utils import parametrizations

import dsr


def _half(**kwargs):
    return lambda model: dsr.sparsify(model, dsr.Static(0.5), **kwargs)


def _method(**kwargs):
    return lambda model: dsr.sparsify(model, dsr.DSR(**kwargs))


def _masks(**changes):
    def call(model):
        masks = {n: torch.ones_like(p, dtype=torch.bool) for n, p in model.named_parameters()}
        masks = {n: m for n, m in masks.items() if m.dim() == 2} | changes
        return dsr.sparsify(model, dsr.Static(0.5), masks=masks)

    return call


STATIC = dsr.Static(0.5)
CASES = [
    (lambda model: dsr.sparsify("model", dsr.Static(0.5)), TypeError, "model: .*got str"),
    (lambda model: dsr.sparsify(model, "dsr"), TypeError, "method: .*got 'dsr'"),
    (lambda model: dsr.sparsify(model, dsr.DSR), TypeError, "method: expected an instance"),
    (_half(storage="packed"), ValueError, "storage: expected 'masked', got 'packed'"),
    (_half(seed=-1), ValueError, "seed: .*got -1"),
    (_half(seed=2**64), ValueError, "seed: .*got 18446744073709551616"),
    (_half(seed=0.5), TypeError, "seed: expected an int, got 0.5"),
    (_half(total_steps=0), ValueError, "total_steps: .*got 0"),
    (_half(total_steps=True), TypeError, "total_steps: .*got True"),
    (_method(sparsity=0.5), ValueError, "total_steps: DSR needs it"),
    (_half(distribution="normal"), ValueError, "distribution: .*'normal'"),
    (_half(include="fc*"), ValueError, r"include: 'fc\*' matches no parameter"),
    (_half(exclude=nn.Conv2d), ValueError, "exclude: Conv2d matches no parameter"),
    (
        lambda model: dsr.sparsify(nn.Sequential(nn.ReLU(), model), STATIC, include="1"),
        ValueError,
        r"include: '1' .*: 1 only contains other modules; for their weights write '1\.\*'",
    ),
    (
        lambda model: dsr.sparsify(nn.ModuleDict({"a": model}), STATIC, exclude=nn.Sequential),
        ValueError,
        r"exclude: Sequential .*: a only contains other modules; .* write 'a\.\*'",
    ),
    (_half(include=3), TypeError, "include: expected names, .*got 3"),
    (_half(include=[int]), TypeError, "include: expected names"),
    (_half(exclude="*"), ValueError, "model: no layer to make sparse"),
    (_half(optimizer="sgd"), TypeError, "optimizer: .*got str"),
    (_masks(**{"0.weight": torch.ones(40, 12)}), TypeError, "0.weight.*bool"),
    (_masks(**{"0.weight": torch.ones(2, 2, dtype=torch.bool)}), ValueError, "0.weight.*shape"),
    (_masks(ghost=torch.ones(2, dtype=torch.bool)), ValueError, "not sparse here: ghost"),
    (_half(masks={}), ValueError, "masks: missing: 0.weight"),
    (_half(masks=[]), TypeError, "masks: expected a dict of bool tensors, got list"),
    (_method(sparsity=1.0), ValueError, "sparsity: .*got 1.0"),
    (_method(sparsity=-0.1), ValueError, "sparsity: .*got -0.1"),
    (_method(sparsity=float("nan")), ValueError, "sparsity: .*got nan"),
    (_method(sparsity="0.9"), TypeError, "sparsity: expected a number, got '0.9'"),
    (_method(l1=-1), ValueError, "l1: .*got -1"),
    (_method(l1=float("inf")), ValueError, "l1: .*got inf"),
    (_method(period=0), ValueError, "period: .*got 0"),
    (_method(period=1.5), TypeError, "period: .*got 1.5"),
    (_method(stop=1.5), ValueError, "stop: .*got 1.5"),
    (_method(prune_count=0), ValueError, "prune_count: .*got 0"),
    (_method(prune_fraction=2), ValueError, "prune_fraction: .*got 2"),
    (_method(tolerance=1), ValueError, "tolerance: .*got 1"),
    (_method(initial_threshold=0), ValueError, "initial_threshold: .*got 0"),
    (lambda model: dsr.sparsify(model, dsr.SET(prune_fraction=-1)), ValueError, "prune_fraction: "),
    (lambda model: dsr.sparsify(model.double(), dsr.Static(0.5)), TypeError, "0.weight: .*float64"),
    (
        lambda model: dsr.sparsify(nn.DataParallel(model), dsr.Static(0.5)),
        TypeError,
        "DataParallel",
    ),
    (lambda model: dsr.sparsify(torch.compile(model), dsr.Static(0.5)), TypeError, "Optimized"),
    (
        lambda model: dsr.sparsify(nn.Sequential(nn.LazyLinear(3)), dsr.Static(0.5)),
        ValueError,
        "0.weight: not initialised",
    ),
    (
        lambda model: dsr.sparsify(
            nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3, device="meta")), dsr.Static(0.5)
        ),
        ValueError,
        "model: expected all sparse layers on one device, got .*'cpu': '0.weight'",
    ),
    (
        lambda model: dsr.sparsify(
            nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 3)), nn.Linear(3, 3)),
            dsr.Static(0.5),
        ),
        ValueError,
        "0: its parameters are parametrized",
    ),
]


@pytest.mark.parametrize(("call", "error", "text"), CASES, ids=[c[2][:40] for c in CASES])
def test_refused_with_nothing_changed(call, error, text):
    model = mlp()
    before = copy.deepcopy(model.state_dict())
    dtype = model[0].weight.dtype
    with pytest.raises(error, match=text):
        call(model)
    model.to(dtype)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    model(torch.randn(2, 12))  # no guard hook was left behind
    dsr.sparsify(model, dsr.Static(0.5))  # and no claim


def test_overlapping_memory_is_refused():
    model = mlp()
    model[0].weight = nn.Parameter(torch.zeros(1).expand(40, 12))
    with pytest.raises(ValueError, match=r"0\.weight: .*gaps or overlaps"):
        dsr.sparsify(model, dsr.Static(0.5))


def test_a_sharded_parameter_is_refused():
    model = mlp()
    model[2].weight.device_mesh = "a mesh"
    with pytest.raises(TypeError, match=r"2\.weight: a sharded Parameter; FSDP"):
        dsr.sparsify(model, dsr.Static(0.5))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_older_weight_norm_is_refused():
    model = mlp()
    nn.utils.weight_norm(model[2])
    with pytest.raises(ValueError, match="2: its weight is under weight_norm"):
        dsr.sparsify(model, dsr.Static(0.5))


class Transposed(nn.Module):
    """A linear layer of a type of its own, with a weight [in, out]."""

    def __init__(self, rows, columns):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(rows, columns))


def test_a_model_of_other_layer_types_is_told_what_to_include():
    model = nn.Sequential(nn.Embedding(9, 12), Transposed(12, 8), nn.LayerNorm(8))
    text = r"1\.weight: weight of Transposed.* the type itself, .* by include=: Transposed$"
    with pytest.raises(ValueError, match=text):
        dsr.sparsify(model, dsr.Static(0.5))
    sparse = dsr.sparsify(model, dsr.Static(0.5), include=Transposed)
    assert list(sparse.masks()) == ["1.weight"]


def test_a_model_is_made_sparse_once():
    model = mlp()
    dsr.sparsify(model, dsr.Static(0.5))
    with pytest.raises(ValueError, match=r"0\.weight is sparse already"):
        dsr.sparsify(model, dsr.Static(0.5))


def test_attach_refuses_by_name():
    model = mlp()
    sparse = dsr.sparsify(model, dsr.Static(0.5))
    with pytest.raises(ValueError, match=r"optimizer: expected it to hold 2\.weight"):
        sparse.attach(torch.optim.SGD(model[0].parameters(), lr=0.1))
    used = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model.eval()(torch.randn(2, 12)).sum().backward()
    used.step()
    with pytest.raises(ValueError, match=r"has state for 0\.weight already"):
        sparse.attach(used)
    sparse.attach(torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(RuntimeError, match="already"):
        sparse.attach(torch.optim.SGD(model.parameters(), lr=0.1))


def _replace(model):
    model[0].weight = nn.Parameter(model[0].weight.detach().clone())


def _restride(model):
    model[0].weight.data = model[0].weight.data.t().contiguous().t()


def _freeze(model):
    model[0].weight.requires_grad_(False)


def _double(model):
    model.double()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_replace, "0.weight: .*replaced"),
        (_restride, "0.weight: strides"),
        (_double, "float64"),
        (_freeze, "0.weight: .*frozen"),
    ],
)
def test_a_parameter_changed_behind_our_back_is_found_before_the_step(change, text):
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparse = dsr.sparsify(model, dsr.Static(0.5), optimizer=optimizer)
    change(model)
    masks = sparse.masks()
    with pytest.raises(RuntimeError, match=text):
        optimizer.step()
    assert sparse.step == 0
    assert all(torch.equal(masks[name], mask) for name, mask in sparse.masks().items())


def test_apply_to_refuses_another_model():
    sparse = dsr.sparsify(mlp(), dsr.Static(0.5))
    with pytest.raises(ValueError, match=r"expected a parameter '0\.weight'"):
        sparse.apply_to(nn.Linear(3, 3))
    with pytest.raises(ValueError, match=r"0\.weight: expected shape \[40, 12\]"):
        sparse.apply_to(nn.Sequential(nn.Linear(3, 3)))
    with pytest.raises(TypeError, match="other"):
        sparse.apply_to({})
