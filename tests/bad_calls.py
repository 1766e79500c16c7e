"""Calls that a run in the middle of training must refuse: what is raised, and what it names."""

import copy

import torch
from torch import nn

import dsr
import dsr_kernels

STRANGER = nn.Linear(2, 2)


def _sparsify(**arguments):
    def call(run, checkpoints):
        dsr.sparsify(run.model, **{"method": dsr.Static(0.5), **arguments})

    return call


def _load(change):
    """Load the run's own state after ``change`` has spoilt it."""

    def call(run, checkpoints):
        state = copy.deepcopy(run.sparse.state_dict())
        spoilt = change(state)
        run.sparse.load_state_dict(state if spoilt is None else spoilt)

    return call


def _first_mask(change):
    def spoil(state):
        name = next(iter(state["masks"]))
        state["masks"][name] = change(state["masks"][name])

    return _load(spoil)


def _op(call):
    return lambda run, checkpoints: call(run.sparse._storage.weights, run.sparse._storage.mask)


def _int64(mask, value=1):
    return torch.full((len(mask.layout),), value)


# name of the case: (call, exception, text)
BAD_CALLS = {
    "attach again": (
        lambda run, _: run.sparse.attach(run.optimizer),
        RuntimeError,
        "attach: this sparsifier follows an optimizer already",
    ),
    "sparse twice": (_sparsify(), ValueError, "is sparse already"),
    "method as text": (_sparsify(method="dsr"), TypeError, "method: "),
    "no seed": (_sparsify(seed=None), TypeError, "seed: "),
    "masks of nothing": (_sparsify(masks=[]), TypeError, "masks: "),
    "unknown layer": (_sparsify(include="ghost*"), ValueError, "include: 'ghost*'"),
    "no state": (_load(lambda state: []), ValueError, "state: expected the keys"),
    "a key too few": (_load(lambda s: s.pop("step") and None), ValueError, "state: expected the"),
    "a key too many": (_load(lambda s: s.update(x=1)), ValueError, "state: expected the keys"),
    "another seed": (_load(lambda s: s.update(seed=9)), ValueError, "state: seed is 9"),
    "a version to come": (_load(lambda s: s.update(version=2)), ValueError, "state: version is 2"),
    "steps below 0": (
        _load(lambda s: s.update(step=-1)),
        ValueError,
        "state: step: expected an int",
    ),
    "steps as text": (
        _load(lambda s: s.update(step="1")),
        ValueError,
        "state: step: expected an int",
    ),
    "a half reallocation": (
        _load(lambda s: s.update(reallocations=0.5)),
        ValueError,
        "state: reallocations: ",
    ),
    "reallocations beyond int64": (
        _load(lambda s: s.update(reallocations=2**63)),
        ValueError,
        "state: reallocations: ",
    ),
    "a budget of another size": (
        _load(lambda s: s.update(budget=(s["budget"] or 0) + 1)),
        ValueError,
        "budget",
    ),
    "a float budget": (
        _load(lambda s: s.update(budget=float(s["budget"] or 0))),
        ValueError,
        "state: budget: ",
    ),
    "a threshold for each layer": (
        _load(lambda s: s.update(threshold=torch.ones(7))),
        ValueError,
        "state: threshold: ",
    ),
    "counts as a list": (_load(lambda s: s.update(moved=[])), ValueError, "state: moved: "),
    "masks as a list": (_load(lambda s: s.update(masks=[])), ValueError, "state: masks: "),
    "a mask too many": (
        _load(lambda s: s["masks"].update(ghost=torch.zeros(1, dtype=torch.uint8))),
        ValueError,
        "state: masks: ",
    ),
    "a short mask": (_first_mask(lambda mask: mask[:-1]), ValueError, "state['masks']["),
    "a mask of floats": (_first_mask(lambda mask: mask.float()), ValueError, "state['masks']["),
    "apply_to a dict": (lambda run, _: run.sparse.apply_to({}), TypeError, "other: "),
    "apply_to a stranger": (
        lambda run, _: run.sparse.apply_to(STRANGER),
        ValueError,
        "other: ",
    ),
    "a copied sparsifier": (lambda run, _: copy.deepcopy(run.sparse), TypeError, "apply_to"),
    "a checkpoint of nothing": (lambda run, c: c.save(10**6), ValueError, "parts: "),
    "a checkpoint before the start": (
        lambda run, c: c.save(-1, **run.parts),
        ValueError,
        "step: ",
    ),
    "a checkpoint at half a step": (lambda run, c: c.save(0.5, **run.parts), TypeError, "step: "),
    "a checkpoint of an object": (
        lambda run, c: c.save(10**6, **run.parts, extra={"a": object()}),
        TypeError,
        "extra.a: ",
    ),
    "a checkpoint into a list": (lambda run, c: c.load_latest(model=[]), TypeError, "model: "),
    "a folder for nothing": (lambda run, c: dsr.Checkpoints(c.directory, 0), ValueError, "keep: "),
    "weights too few": (
        _op(lambda weights, mask: dsr_kernels.apply_mask_([], mask)),
        ValueError,
        "tensors: expected ",
    ),
    "counts of another type": (
        _op(lambda weights, mask: dsr_kernels.prune_smallest_(weights, mask, 3)),
        TypeError,
        "k: ",
    ),
    "growth into itself": (
        _op(
            lambda weights, mask: dsr_kernels.grow_random_(
                mask, mask, _int64(mask), seed=0, reallocation=torch.tensor([1])
            )
        ),
        ValueError,
        "previous: ",
    ),
    "growth by integers": (
        _op(
            lambda weights, mask: dsr_kernels.grow_largest_(
                mask, mask.clone(), [w.long() for w in weights], _int64(mask)
            )
        ),
        TypeError,
        "scores[0]: ",
    ),
}
