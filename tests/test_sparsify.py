"""Which layers become sparse, what is said of the rest, and what is refused (P8, P9, P11)."""

import pytest
import torch
from nets import convnet, is_positive_zero, make_sparse, mlp
from torch import distributed, nn

import dsr


class Language(nn.Module):
    """An embedding tied to the output layer, and a weight shared by two layers."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.first = nn.Linear(8, 8)
        self.second = nn.Linear(8, 8)
        self.second.weight = self.first.weight
        self.out = nn.Linear(8, 20)
        self.out.weight = self.embedding.weight
        self.table = nn.Parameter(torch.ones(4, 4))


def _reasons(sparse):
    return {one.name: reason for one, reason in sparse.selection.dense}


def test_default_set_and_reasons():
    sparse = dsr.sparsify(convnet(), dsr.Static(0.5))
    assert list(sparse.masks()) == ["3.weight", "7.weight"]
    reasons = _reasons(sparse)
    assert reasons["0.weight"] == "first convolution"
    assert reasons["1.weight"] == "weight of BatchNorm2d"
    assert reasons["7.bias"] == "bias of Linear"
    shown = str(sparse)
    for name in [*reasons, "3.weight", "7.weight", "0.5000", "first convolution"]:
        assert name in shown


def test_tied_weights_count_once_and_embeddings_stay_dense():
    model = Language()
    sparse = dsr.sparsify(model, dsr.Static(0.5))
    assert list(sparse.masks()) == ["first.weight"]
    assert _reasons(sparse)["embedding.weight"].startswith("embedding")
    assert _reasons(sparse)["table"] == "table of Language"
    assert sparse.budget == 32


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (None, "3", ["7.weight"]),
        (None, nn.Linear, ["3.weight"]),
        (nn.Conv2d, None, ["0.weight", "3.weight"]),
        (["0", "7.weight"], None, ["0.weight", "7.weight"]),
        ("[0-3].weight", "0", ["3.weight"]),
    ],
)
def test_include_and_exclude(include, exclude, expected):
    sparse = dsr.sparsify(convnet(), dsr.Static(0.5), include=include, exclude=exclude)
    assert list(sparse.masks()) == expected


def test_a_plain_parameter_and_an_embedding_by_name():
    sparse = dsr.sparsify(Language(), dsr.Static(0.5), include=["table", "embedding"])
    assert list(sparse.masks()) == ["table", "embedding.weight"] or list(sparse.masks()) == [
        "embedding.weight",
        "table",
    ]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ("second", None, ["first.weight"]),
        (["first", "second.weight"], None, ["first.weight"]),
        (None, "first", []),
        (None, "second", []),
        (None, "*nd.weight", []),
        ("out", None, ["embedding.weight"]),
        (["out", "first"], "embedding", ["first.weight"]),
        (nn.Embedding, None, ["embedding.weight"]),
        (nn.Linear, None, ["first.weight"]),  # what is tied to an embedding is no mere Linear
        ([nn.Linear, "out"], None, ["embedding.weight", "first.weight"]),
        ("embedding", nn.Linear, ["embedding.weight"]),
        (["out", "first"], nn.Embedding, ["first.weight"]),
    ],
)
def test_a_tied_weight_goes_by_any_of_its_names(include, exclude, expected):
    model = Language()
    if not expected:
        with pytest.raises(ValueError, match="no layer to make sparse"):
            dsr.sparsify(model, dsr.Static(0.5), include=include, exclude=exclude)
        return
    sparse = dsr.sparsify(model, dsr.Static(0.5), include=include, exclude=exclude)
    assert list(sparse.masks()) == expected


def test_a_tied_embedding_is_told_by_its_first_name():
    model = Language()
    model.again = nn.Embedding(20, 8)
    model.again.weight = model.embedding.weight
    reasons = _reasons(dsr.sparsify(model, dsr.Static(0.5)))
    assert reasons["embedding.weight"] == "embedding (embedding.weight)"


def test_frozen_layers_are_listed():
    model = mlp()
    model[2].weight.requires_grad_(False)
    sparse = dsr.sparsify(model, dsr.Static(0.5))
    assert _reasons(sparse)["2.weight"] == "frozen (requires_grad=False)"


def test_inactive_start_at_zero_and_active_keep_their_values():
    dense, model = mlp(), mlp()
    sparse = dsr.sparsify(model, dsr.Static(0.7))
    for (name, a), b in zip(model.named_parameters(), dense.parameters(), strict=True):
        mask = sparse.masks().get(name, torch.ones_like(a, dtype=torch.bool))
        assert torch.equal(a[mask], b[mask])
        assert is_positive_zero(a.detach()[~mask])


def test_masks_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = dsr.sparsify(mlp(1), dsr.Static(0.5), seed=2**64 - 1).masks()
    torch.manual_seed(2)
    torch.set_num_threads(torch.get_num_threads())
    again = dsr.sparsify(mlp(2), dsr.Static(0.5), seed=2**64 - 1).masks()
    other = dsr.sparsify(mlp(2), dsr.Static(0.5), seed=1).masks()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_given_masks_set_the_budget():
    model = mlp()
    masks = {name: p > 0 for name, p in model.named_parameters() if p.dim() == 2}
    sparse = dsr.sparsify(model, dsr.DSR(0.9, period=5, stop=None), masks=masks)
    assert sparse.budget == sum(int(mask.sum()) for mask in masks.values())
    assert all(torch.equal(sparse.masks()[name], mask) for name, mask in masks.items())


def test_the_short_form_attaches():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparse = dsr.sparsify(model, dsr.Static(0.5), optimizer=optimizer)
    model(torch.randn(2, 12)).sum().backward()
    optimizer.step()
    assert sparse.step == 1


def test_penalty_is_the_l1_norm_of_sparse_weights():
    model = mlp()
    sparse = dsr.sparsify(model, dsr.Static(0.5, l1=0.01), exclude="4")
    expected = 0.01 * (model[0].weight.abs().sum() + model[2].weight.abs().sum())
    torch.testing.assert_close(sparse.penalty(), expected)
    sparse.attach(torch.optim.SGD(model.parameters(), lr=0.1))
    sparse.penalty().backward()
    mask = sparse.masks()["0.weight"]
    torch.testing.assert_close(
        model[0].weight.grad[mask], 0.01 * model[0].weight.detach()[mask].sign()
    )
    assert model[4].weight.grad is None
    assert dsr.sparsify(mlp(), dsr.Static(0.5)).penalty() == 0


def test_a_training_forward_before_attach_is_refused():
    model = mlp()
    sparse = dsr.sparsify(model, dsr.Static(0.5))
    with pytest.raises(RuntimeError, match=r"sparse\.attach"):
        model(torch.randn(2, 12))
    with torch.no_grad():
        model(torch.randn(2, 12))
    model.eval()(torch.randn(2, 12))
    sparse.export().train()(torch.randn(2, 12))
    sparse.attach(torch.optim.SGD(model.parameters(), lr=0.1))
    model.train()(torch.randn(2, 12))


def test_moving_the_model_takes_the_masks_along():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparse = dsr.sparsify(model, dsr.SET(0.5, period=1, stop=None), optimizer=optimizer)
    model.to(torch.bfloat16)
    model(torch.randn(2, 12, dtype=torch.bfloat16)).sum().backward()
    optimizer.step()
    assert sparse.stats().reallocations == 1


def test_saliencies_of_a_single_rank_are_its_own():
    alone = make_sparse(mlp(), dsr.SNIP(0.8)).masks()
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        reduced = make_sparse(mlp(), dsr.SNIP(0.8)).masks()
    finally:
        distributed.destroy_process_group()
    assert all(torch.equal(mask, reduced[name]) for name, mask in alone.items())


def test_copies_made_before_attach_are_not_guarded(tmp_path):
    model = mlp()
    dsr.sparsify(model, dsr.Static(0.5))
    torch.save(model, tmp_path / "model.pt")
    loaded = torch.load(tmp_path / "model.pt", weights_only=False)
    for plain in (torch.optim.swa_utils.AveragedModel(model), loaded):
        plain.train()(torch.randn(2, 12))
    with pytest.raises(RuntimeError, match=r"sparse\.attach"):
        model(torch.randn(2, 12))
