"""A tiny training run whose whole state can be hashed: what the stateful property test drives."""

import hashlib
from pathlib import Path

import torch
from nets import OPTIMIZERS, batch, is_positive_zero, make_sparse, sparse_weights
from torch import nn

import dsr
from dsr import checkpoint_state

TOTAL_STEPS = 60
METHODS = {
    "dsr": dsr.DSR(sparsity=0.7, prune_fraction=0.2, period=2, initial_threshold=0.06),
    "dsr-keep-state": dsr.DSR(sparsity=0.3, period=1, initial_threshold=0.2, keep_state=True),
    "dsr-exact": dsr.DSR(sparsity=0.8, prune_count=9, period=3, exact=True, l1=1e-3),
    "dsr-kernel": dsr.DSR(
        sparsity=0.5, prune_fraction=0.2, period=2, initial_threshold=0.05, granularity="kernel"
    ),
    "set": dsr.SET(sparsity=0.75, prune_fraction=0.3, period=2),
    "set-two-sided": dsr.SET(sparsity=0.6, prune_fraction=0.4, period=1, two_sided=True),
    "rigl": dsr.RigL(sparsity=0.7, prune_fraction=0.4, period=2),
    "sparse-momentum": dsr.SparseMomentum(sparsity=0.6, prune_fraction=0.4, period=2),
    "sparse-momentum-cleared": dsr.SparseMomentum(
        sparsity=0.7, prune_fraction=0.5, period=1, clear_grown=True
    ),
    "deepr": dsr.DeepR(sparsity=0.8, temperatures=(1.0, 1e-2), temperature_starts=(0, 0.5)),
    "deepr-signs": dsr.DeepR(
        sparsity=0.7, temperatures=(1.0,), temperature_starts=(0,), random_signs=True
    ),
    "deepr-soft": dsr.DeepR(
        sparsity=0.7, l1=1e-2, temperatures=(1.0,), temperature_starts=(0,), soft=True
    ),
    "compressed": dsr.Compressed(sparsity=0.85, begin=0.03, end=0.5, iterations=12),
    "snip": dsr.SNIP(sparsity=0.85),
    "static": dsr.Static(sparsity=0.8),
    "dense": dsr.Dense(),
}
WITHOUT_MOMENTUM = ("sgd", "adagrad")
MIXES_DTYPES = ("sgd", "momentum", "nesterov", "rmsprop")
FUSED = ("sgd", "momentum", "nesterov", "adam", "adamw")
PER_LAYER = ("set", "set-two-sided", "rigl", "deepr", "deepr-signs", "snip", "static", "dense")


def _mlp():
    return nn.Sequential(nn.Linear(6, 11), nn.ReLU(), nn.Linear(11, 3), nn.Tanh(), nn.Linear(3, 4))


def _tied():
    model = nn.Sequential(nn.Linear(7, 7), nn.Tanh(), nn.Linear(7, 7), nn.Linear(7, 4))
    model[2].weight = model[0].weight
    return model


def _convnet():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(20, 4)
    )


NETS = {
    "mlp": _mlp,
    "tied": _tied,
    "convnet": _convnet,
    "channels-last": lambda: _convnet().to(memory_format=torch.channels_last),
}


class Run:
    """A model, its optimizer, its sparsifier and a count of the batches it has seen."""

    def __init__(self, method, optimizer, net, fused, strict, seed):
        self.arguments = (method, optimizer, net, fused, strict, seed)
        self.method, self.fused, self.strict = METHODS[method], fused, strict
        torch.manual_seed(0)
        self.model = NETS[net]()
        self.sparse = make_sparse(
            self.model, self.method, total_steps=TOTAL_STEPS, seed=seed, strict=strict
        )
        self.optimizer = self.new_optimizer()
        self.sparse.attach(self.optimizer)
        self.progress = {"batches": 0}

    def new_optimizer(self):
        flags = {"fused": True} if self.fused else {}
        return OPTIMIZERS[self.arguments[1]](self.model.parameters(), **flags)

    def fresh(self):
        """The same arguments again, as a new process would start."""
        other = Run(*self.arguments)
        other.model.to(self.dtype)
        return other

    @property
    def dtype(self):
        return next(self.model.parameters()).dtype

    @property
    def parts(self):
        names = ("model", "optimizer", "sparse", "progress")
        return {name: getattr(self, name) for name in names}

    @property
    def trains_in_16_bits(self):
        """Not with torch's fused SGD on a CPU (pytorch/pytorch#191763): in torch 2.13 it skips most
        of a 16-bit weight and reads beyond the end of its momentum, so that two runs differ.
        """
        return not (self.fused and self.arguments[1] in ("sgd", "momentum", "nesterov"))

    @property
    def mixes_dtypes(self):
        """Whether the optimizer can go on with state of another dtype than the weights'."""
        return self.arguments[1] in MIXES_DTYPES and not self.fused

    @property
    def has_all_state(self):
        """Whether a gradient may be missing: a first step makes the momentum of all at once."""
        state = self.optimizer.state
        return self.arguments[1] == "sgd" or all(state.get(w) for _, w, _ in self.weights())

    @property
    def has_wide_state(self):
        return any(
            isinstance(value, torch.Tensor) and value.dim() and value.dtype != self.dtype
            for state in self.optimizer.state.values()
            for value in state.values()
        )

    @property
    def due(self):
        """Whether the next optimizer step moves units."""
        return self.method.due(self.sparse.step + 1, TOTAL_STEPS)

    def weights(self):
        return sparse_weights(self.model, self.sparse)

    def check_promises(self):
        """P1 and P2: the exact budget, and inactive weights bitwise +0.0."""
        mask = self.sparse._storage.mask
        units = sum(int(bits.sum()) for bits in mask.to_bools())
        assert units == int(mask.counts().sum())  # no bit in the padding
        assert self.sparse.budget == (units if self.method.has_budget else None)
        for name, weight, active in self.weights():
            assert is_positive_zero(weight.detach()[~active]), name

    def backward(self, scaler=None, micro_batches=1):
        self.optimizer.zero_grad()
        for _ in range(micro_batches):
            x, y = batch(self.model, self.progress["batches"], size=8)
            self.progress["batches"] += 1
            loss = nn.functional.cross_entropy(self.model(x.to(self.dtype)).float(), y)
            loss = loss + self.sparse.penalty()
            (loss if scaler is None else scaler.scale(loss)).backward()

    def state(self):
        """What a checkpoint has to bring back, hashed."""
        return fingerprint(
            [
                self.model.state_dict(),
                self.optimizer.state_dict(),
                checkpoint_state.dump(self.sparse),
                self.progress,
            ]
        )

    def everything(self):
        """All that a call which is refused has to leave alone, hashed."""
        gradients = [p.grad for p in self.model.parameters()]
        storage = self.sparse._storage
        return fingerprint(
            [
                self.state(),
                gradients,
                storage.mask.words,
                storage.previous.words,
                self.sparse._state.active,
                self.model.training,
                len(self.model._forward_pre_hooks),
                torch.get_rng_state(),
            ]
        )

    @torch.no_grad()
    def repair(self):
        """Put 0 for every NaN and Inf, as somebody would who wants to go on."""
        self.optimizer.zero_grad()
        states = [v for state in self.optimizer.state.values() for v in state.values()]
        for tensor in [*self.model.parameters(), *states]:
            if isinstance(tensor, torch.Tensor):
                tensor.nan_to_num_(0.0, 0.0, 0.0)


def fingerprint(value):
    """SHA-256 of nested state: bits, types, order of keys."""
    digest = hashlib.sha256()
    _feed(digest, value)
    return digest.hexdigest()


def _feed(digest, value):
    if isinstance(value, torch.Tensor):
        digest.update(f"tensor {value.dtype} {list(value.shape)}".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy())
    elif isinstance(value, dict):
        digest.update(f"dict {len(value)}".encode())
        for key, item in value.items():
            _feed(digest, key)
            _feed(digest, item)
    elif isinstance(value, (list, tuple)):
        digest.update(f"{type(value).__name__} {len(value)}".encode())
        for item in value:
            _feed(digest, item)
    else:
        digest.update(f"{type(value).__name__} {value!r}".encode())


def folder_content(folder):
    """Names and times of everything under a folder."""
    return sorted((str(path), path.stat().st_mtime_ns) for path in Path(folder).rglob("*"))
