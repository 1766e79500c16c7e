"""Taking a sparsifier off a model, and giving it another optimizer, device or memory order."""

import pytest
import torch
from nets import METHODS, OPTIMIZERS, assert_promises, is_positive_zero, mlp, train

import dsr
from dsr.masked import MaskedStorage
from dsr.nonfinite import raise_if_nonfinite


def _start(method=METHODS["dsr"], **arguments):
    model = mlp()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    sparse = dsr.sparsify(model, method, total_steps=100, optimizer=optimizer, **arguments)
    return model, sparse, optimizer


def test_another_optimizer_may_take_over():
    model, sparse, optimizer = _start()
    train(model, sparse, optimizer, 4)
    sparse.detach()
    other = OPTIMIZERS["adam"](model.parameters())
    sparse.attach(other)
    train(model, sparse, other, 4, start=4, each=lambda _: assert_promises(model, sparse))
    assert (sparse.step, sparse.stats().reallocations) == (8, 2)
    optimizer.step()  # the one that was left moves nothing of ours
    assert sparse.step == 8


def test_an_attached_sparsifier_holds_its_parameters_again():
    model, sparse, _ = _start()
    sparse.detach()
    sparse.attach(OPTIMIZERS["adam"](model.parameters()))
    with pytest.raises(ValueError, match=r"model: 0\.weight is sparse already"):
        dsr.sparsify(model, dsr.Static(0.5))


def test_a_sparsifier_whose_model_has_another_one_is_refused():
    model, sparse, _ = _start()
    sparse.detach()
    second = dsr.sparsify(model, dsr.Static(0.5))
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    with pytest.raises(RuntimeError, match=r"attach: 0\.weight is held by another sparsifier"):
        sparse.attach(optimizer)
    sparse.detach()  # once more: the second one's parameters stay its own
    with pytest.raises(ValueError, match=r"0\.weight is sparse already"):
        dsr.sparsify(model, dsr.Static(0.5))
    second.attach(optimizer)
    train(model, second, optimizer, 1)
    assert (second.step, sparse.step) == (1, 0)


def test_detached_before_any_attach_a_model_trains_as_it_likes():
    model = mlp()
    sparse = dsr.sparsify(model, dsr.Static(0.5))
    sparse.detach()
    model(torch.randn(2, 12)).sum().backward()
    assert (model[0].weight.grad[~sparse.masks()["0.weight"]] != 0).any()


def test_masks_and_state_follow_the_weights_to_another_device(monkeypatch):
    """Two devices without a GPU: the weights are said to be on "meta"."""
    _, sparse, _ = _start()
    sparse._follow_device()
    assert sparse._storage.mask.device.type == "cpu"
    monkeypatch.setattr(MaskedStorage, "device", torch.device("meta"))
    sparse._follow_device()
    state = sparse._state
    for tensor in (state.threshold, state.number, state.active, state.moved):
        assert tensor.is_meta
    assert sparse._storage.mask.words.is_meta
    assert sparse._storage.previous.words.is_meta


@pytest.mark.filterwarnings("ignore:grad and param do not obey")
def test_a_gradient_in_another_memory_order_is_masked():
    model, sparse, _ = _start()
    weight = model[0].weight
    weight.grad = torch.ones(12, 40).t()
    model(torch.randn(2, 12)).sum().backward()
    mask = sparse.masks()["0.weight"]
    assert is_positive_zero(weight.grad[~mask])
    assert (weight.grad[mask] != 0).any()


def test_strict_takes_a_step_without_gradients():
    model, sparse, optimizer = _start(strict=True)
    optimizer.step()
    assert sparse.step == 1
    with torch.no_grad():
        model[2].weight[0] = torch.nan
    with pytest.raises(dsr.NonFiniteError, match=r"weights \(2\.weight: 40\)"):
        optimizer.step()
    assert sparse.step == 1


def test_layers_without_a_single_weight_are_finite():
    raise_if_nonfinite(["empty", "none"], [torch.empty(0, 3), None], "weights")
    tensors = [torch.empty(0, 3), torch.tensor([torch.inf, 1, torch.nan])]
    with pytest.raises(dsr.NonFiniteError, match="last: 2"):
        raise_if_nonfinite(["empty", "last"], tensors, "weights")
