"""Small networks and a training loop shared by the tests of the training API."""

import torch
from torch import nn

import dsr

OPTIMIZERS = {
    "sgd": lambda p, **kw: torch.optim.SGD(p, lr=0.1, weight_decay=1e-3, **kw),
    "momentum": lambda p, **kw: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3, **kw),
    "nesterov": lambda p, **kw: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, **kw),
    "adam": lambda p, **kw: torch.optim.Adam(p, lr=1e-2, weight_decay=1e-3, **kw),
    "adamw": lambda p, **kw: torch.optim.AdamW(p, lr=1e-2, **kw),
    "rmsprop": lambda p, **kw: torch.optim.RMSprop(p, lr=1e-3, momentum=0.9, **kw),
    "adagrad": lambda p, **kw: torch.optim.Adagrad(p, lr=0.05, initial_accumulator_value=0.1, **kw),
}


def mlp(seed: int = 0, device: torch.device | str = "cpu") -> nn.Sequential:
    torch.manual_seed(seed)
    layers = (nn.Linear(12, 40), nn.ReLU(), nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 4))
    return nn.Sequential(*layers).to(device)


def convnet(seed: int = 0, device: torch.device | str = "cpu") -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(3),  # unlike the adaptive one deterministic on a GPU, too
        nn.Flatten(),
        nn.Linear(64, 4),
    ).to(device)


def batch(model: nn.Module, step: int, size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """The same numbers on every device, on that of the model."""
    generator = torch.Generator().manual_seed(step)
    first = next(m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d)))
    shape = (size, 3, 6, 6) if isinstance(first, nn.Conv2d) else (size, first.in_features)
    x, y = (
        torch.randn(shape, generator=generator),
        torch.randint(0, 4, (size,), generator=generator),
    )
    device = first.weight.device
    return x.to(device), y.to(device)


def train(model, sparse, optimizer, steps, start=0, each=None):
    for step in range(start, start + steps):
        x, y = batch(model, step)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y) + sparse.penalty()
        loss.backward()
        optimizer.step()
        if each is not None:
            each(step)


def sparse_weights(model, sparse):
    parameters = dict(model.named_parameters())
    return [(name, parameters[name], mask) for name, mask in sparse.masks().items()]


def is_positive_zero(values: torch.Tensor) -> bool:
    """Bitwise +0.0: -0.0 has its sign bit set."""
    return bool((values == 0).all()) and not bool(torch.signbit(values).any())


def assert_promises(model, sparse, budget=None):
    """P1 and P2: the exact budget, and inactive weights bitwise +0.0."""
    masks = sparse.masks()
    active = sum(int(mask.sum()) for mask in masks.values())
    assert sparse.budget == (active if sparse.method.has_budget else None)
    assert budget is None or sparse.budget == budget
    for name, weight, mask in sparse_weights(model, sparse):
        assert is_positive_zero(weight.detach()[~mask]), name


def assert_same(a, b, path="state"):
    """Nested states equal bit for bit."""
    assert type(a) is type(b), path
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_same(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}[{i}]")
    else:
        assert a == b, path


METHODS = {
    "dsr": dsr.DSR(sparsity=0.8, prune_fraction=0.1, period=3, initial_threshold=0.02),
    "dsr-exact": dsr.DSR(sparsity=0.8, prune_fraction=0.1, period=3, exact=True),
    "set": dsr.SET(sparsity=0.8, prune_fraction=0.2, period=3),
    "rigl": dsr.RigL(sparsity=0.8, period=3),
    "sparse-momentum": dsr.SparseMomentum(sparsity=0.8, period=3),
    "deepr": dsr.DeepR(sparsity=0.8, temperatures=(1.0, 1e-2), temperature_starts=(0, 0.1)),
    "deepr-soft": dsr.DeepR(
        sparsity=0.8, l1=1e-3, temperatures=(1.0, 1e-2), temperature_starts=(0, 0.1), soft=True
    ),
    "compressed": dsr.Compressed(sparsity=0.8, begin=0.03, end=0.15, iterations=4),
    "snip": dsr.SNIP(sparsity=0.8),
    "static": dsr.Static(sparsity=0.8),
    "dense": dsr.Dense(),
}
FIXED = ("static", "dense", "snip")


def make_sparse(model, method, **arguments):
    """`dsr.sparsify`, with the batch to look at where the method needs one."""
    if method.needs_calibration:
        x, y = batch(model, 10_000)
        arguments["calibrate"] = lambda: nn.functional.cross_entropy(model(x), y)
    return dsr.sparsify(model, method, **arguments)


class OldestHalf(dsr.Prune):
    """Prunes the first half of each layer's rows."""

    def select(self, param):
        rows = torch.zeros(param.shape, dtype=torch.bool, device=param.weight.device)
        rows[: param.shape[0] // 2] = True
        return rows
