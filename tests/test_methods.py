"""What sets each method apart from the others, against plain PyTorch on the same weights."""

from fractions import Fraction

import pytest
import torch
from nets import OPTIMIZERS, assert_promises, batch, make_sparse, mlp, train
from torch import nn

import dsr
from dsr.methods.schedules import Decay, Stepwise


def _start(method, optimizer="momentum", **arguments):
    model = mlp()
    sparse = make_sparse(model, method, **arguments)
    made = OPTIMIZERS[optimizer](model.parameters())
    sparse.attach(made)
    return model, sparse, made


def _named(model, sparse):
    parameters = dict(model.named_parameters())
    return {name: parameters[name] for name in sparse.masks()}


def _largest(scores, places, count):
    """Flat indices of the ``count`` largest scores among ``places``, lowest index on ties."""
    index = places.flatten().nonzero().flatten()
    order = torch.sort(-scores.flatten()[index].abs(), stable=True).indices
    return set(index[order[:count]].tolist())


def test_rigl_grows_the_largest_gradients():
    method = dsr.RigL(0.8, period=4, stop=None, decay="constant", prune_fraction=0.25)
    model, sparse, optimizer = _start(method)
    train(model, sparse, optimizer, 3)
    before = sparse.masks()
    train(model, sparse, optimizer, 1, start=3)
    for name, parameter in _named(model, sparse).items():
        mask = sparse.masks()[name]
        grown = set((mask & ~before[name]).flatten().nonzero().flatten().tolist())
        active = int(before[name].sum())
        assert int(mask.sum()) == active
        assert grown  # dense gradients were there to choose by
        assert grown <= _largest(parameter.grad, ~before[name], -(-active // 4))
        assert not optimizer.state[parameter]["momentum_buffer"][~mask].any()


def test_rigl_moves_less_and_less():
    method = dsr.RigL(0.5, period=2, stop=0.75, prune_fraction=0.4)
    model, sparse, optimizer = _start(method, total_steps=40)
    counts = []
    train(model, sparse, optimizer, 40, each=lambda _: counts.append(sparse.stats().pruned))
    assert counts[1] == pytest.approx(0.4 * sparse.budget, rel=0.05)
    assert counts[1:] == sorted(counts[1:], reverse=True)
    assert counts[27] < 0.05 * sparse.budget


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_sparse_momentum_grows_the_largest_momenta(optimizer):
    method = dsr.SparseMomentum(0.8, period=4, decay="constant")
    model, sparse, made = _start(method, optimizer)
    train(model, sparse, made, 3)
    before = sparse.masks()
    train(model, sparse, made, 1, start=3)
    assert_promises(model, sparse)
    for name, parameter in _named(model, sparse).items():
        state, mask = made.state[parameter], sparse.masks()[name]
        momentum = state.get("momentum_buffer")
        if momentum is None:
            momentum = state["exp_avg"] / (state["exp_avg_sq"].sqrt() + 1e-8)
        grown = set((mask & ~before[name]).flatten().nonzero().flatten().tolist())
        places = ~before[name]
        assert grown == _largest(momentum, places, len(grown))
        assert momentum[~mask].any()  # dense state lives on


def test_sparse_momentum_splits_by_mean_momentum_and_spares_dense_layers():
    masks_at = {"0.weight": 0.9, "2.weight": 0.05, "4.weight": 0.5}
    model = mlp()
    generator = torch.Generator().manual_seed(0)
    masks = {
        name: torch.rand(dict(model.named_parameters())[name].shape, generator=generator) >= s
        for name, s in masks_at.items()
    }
    method = dsr.SparseMomentum(0.5, period=1, stop=None, prune_fraction=0.9, decay="constant")
    sparse = dsr.sparsify(model, method, masks=masks)
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparse.attach(optimizer)
    before = sparse.masks()
    momentum = {}

    def scale(name):  # makes the nearly dense layer the most important by far
        return 1e4 if name == "2.weight" else 1.0

    for name, parameter in _named(model, sparse).items():
        parameter.register_hook(lambda g, name=name: g * scale(name))
    train(model, sparse, optimizer, 1)
    for name, parameter in _named(model, sparse).items():
        momentum[name] = optimizer.state[parameter]["momentum_buffer"][before[name]].abs().mean()
    assert momentum["2.weight"] > momentum["0.weight"] + momentum["4.weight"]
    inactive, active = int((~before["2.weight"]).sum()), int(before["2.weight"].sum())
    kept = int((before["2.weight"] & sparse.masks()["2.weight"]).sum())
    at_most = -(-inactive * active // (inactive + active))
    assert active - kept <= at_most < 0.9 * active
    assert sparse.masks()["2.weight"].all()  # its share exceeds its places: full
    assert_promises(model, sparse)


@pytest.mark.parametrize("schedule", ["cubic", "geometric"])
def test_compressed_follows_its_schedule_exactly(schedule):
    method = dsr.Compressed(0.9, begin=0.1, end=0.6, iterations=6, schedule=schedule)
    model, sparse, optimizer = _start(method, total_steps=50)
    sizes = [p.numel() for p in _named(model, sparse).values()]
    assert sparse.budget == sum(sizes)
    budgets = []
    train(model, sparse, optimizer, 50, each=lambda _: budgets.append(sparse.stats().active))
    for k, step in enumerate([5, 10, 15, 20, 25, 30], start=1):
        if schedule == "cubic":
            sparsity = Fraction(9, 10) * (1 - Fraction(6 - k, 6) ** 3)
        else:
            sparsity = Fraction(9, 10) if k == 6 else Fraction(1 - (1 - 0.9) ** (k / 6))
        expected = sum(n - (sparsity * n).__floor__() for n in sizes)
        assert budgets[step - 2] != expected
        assert set(budgets[step - 1 : step + 4]) == {expected}
    assert budgets[-1] == sum(n - 9 * n // 10 for n in sizes)
    assert sparse.stats().total_grown == 0


def test_snip_keeps_the_largest_saliencies_over_all_layers():
    model, reference = mlp(), mlp()
    sparse = make_sparse(model, dsr.SNIP(0.9))
    x, y = batch(reference, 10_000)
    nn.functional.cross_entropy(reference(x), y).backward()
    weights = [m.weight for m in reference if isinstance(m, nn.Linear)]
    saliency = torch.cat([(w * w.grad).flatten().abs() for w in weights])
    kept = torch.cat([mask.flatten() for mask in sparse.masks().values()])
    total = len(saliency) - 9 * len(saliency) // 10
    assert int(kept.sum()) == total == sparse.budget
    assert saliency[kept].min() >= saliency[~kept].max()


def test_exact_count_moves_exactly_that_many():
    model, sparse, optimizer = _start(dsr.DSR(0.8, prune_count=17, period=1, stop=None, exact=True))
    counts = []
    train(model, sparse, optimizer, 10, each=lambda _: counts.append(sparse.stats().pruned))
    assert counts == [17] * 10
    assert sparse.stats().threshold is None


REFUSED = [
    (lambda m: dsr.sparsify(m, dsr.SNIP()), TypeError, "calibrate: SNIP needs"),
    (lambda m: dsr.sparsify(m, dsr.SNIP(), calibrate=lambda: 3.0), TypeError, "calibrate: .*float"),
    (
        lambda m: dsr.sparsify(m, dsr.SNIP(), calibrate=lambda: torch.ones(2)),
        TypeError,
        r"calibrate: .*shape \[2\]",
    ),
    (
        lambda m: dsr.sparsify(
            m, dsr.SNIP(), calibrate=lambda: torch.ones((), requires_grad=True) * 2
        ),
        ValueError,
        "calibrate: its loss depends on no sparse weight",
    ),
    (
        lambda m: dsr.sparsify(m, dsr.Static(), calibrate=lambda: 0),
        ValueError,
        "calibrate: Static does not look",
    ),
    (lambda m: dsr.sparsify(m, dsr.Compressed()), ValueError, "total_steps: Compressed"),
    (
        lambda m: dsr.sparsify(m, dsr.Compressed(), total_steps=9, masks={}),
        ValueError,
        "masks: Compressed starts dense",
    ),
    (lambda m: dsr.Compressed(begin=0.9, end=0.5), ValueError, "begin: .*got 0.9"),
    (lambda m: dsr.Compressed(schedule="linear"), ValueError, "schedule: expected one of cubic"),
    (lambda m: dsr.Compressed(iterations=0), ValueError, "iterations: .*got 0"),
    (lambda m: dsr.Compressed().prune_steps(None), ValueError, "total_steps: needed by Compressed"),
    (lambda m: dsr.SET().due(3, None), ValueError, "total_steps: needed where period is None"),
    (lambda m: dsr.RigL(decay="exp"), ValueError, "decay: expected one of cosine"),
    (lambda m: dsr.SparseMomentum(redistribution="x"), ValueError, "redistribution: expected one"),
    (lambda m: dsr.SparseMomentum(growth="x"), ValueError, "growth: expected one of"),
    (lambda m: Stepwise((1, 2), (0.0,)), ValueError, "values, starts"),
    (lambda m: Stepwise((1, 2), (0.0, 0.0)), ValueError, "starts: expected rising"),
    (lambda m: Decay(0.5).at(3, None), ValueError, "total_steps: needed by a cosine decay"),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSED, ids=[case[2] for case in REFUSED])
def test_refused_by_name_with_nothing_changed(call, error, text):
    model = mlp()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises(error, match=text):
        call(model)
    for parameter, old in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter, old)
        assert parameter.grad is None
    dsr.sparsify(model, dsr.Static(0.5))  # nothing was claimed


@pytest.mark.parametrize("redistribution", ["magnitude", "nonzeros", "none"])
def test_ablations_of_sparse_momentum_redistribute_by_their_measure(redistribution):
    method = dsr.SparseMomentum(
        0.8, period=1, stop=None, decay="constant", redistribution=redistribution, growth="random"
    )
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)
    sparse = dsr.sparsify(model, method, optimizer=optimizer)
    before = sparse.masks()
    measure = {
        name: float(parameter.detach()[before[name]].abs().mean())
        for name, parameter in _named(model, sparse).items()
    }
    active = {name: int(mask.sum()) for name, mask in before.items()}
    pruned = {name: -(-count // 5) for name, count in active.items()}
    train(model, sparse, optimizer, 1)
    for name, mask in sparse.masks().items():
        grown = int(mask.sum()) - active[name] + pruned[name]
        if redistribution == "none":
            assert grown == pruned[name]
            continue
        shares = active if redistribution == "nonzeros" else measure
        share = shares[name] / sum(shares.values())
        assert abs(grown - sum(pruned.values()) * share) < 1
