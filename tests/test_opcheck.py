"""torch's own check of every op's registration, and what it does not notice: version counters."""

import pytest
import torch

from dsr_kernels.schema import OPS
from dsr_kernels.testing import sample_inputs


def op_of(name):
    return getattr(torch.ops.dsr_kernels, name).default


def tensors_in(args):
    for arg in args:
        yield from arg if isinstance(arg, list) and arg and torch.is_tensor(arg[0]) else [arg]


def mutated(name, args):
    """The tensors that the op's schema declares as changed."""
    schema = op_of(name)._schema
    declared = [
        arg
        for arg, described in zip(args, schema.arguments, strict=True)
        if described.alias_info is not None and described.alias_info.is_write
    ]
    return list(tensors_in(declared))


@pytest.mark.parametrize("name", OPS)
def test_opcheck(name, device):
    torch.library.opcheck(op_of(name), sample_inputs(name, device))


@pytest.mark.parametrize("name", OPS)
def test_the_fake_has_the_shapes_and_dtypes_of_the_real_op(name, device):
    def described(outputs):
        outputs = [outputs] if torch.is_tensor(outputs) else outputs or []
        return [(output.shape, output.dtype, output.device.type) for output in outputs]

    args = sample_inputs(name, device)
    real = described(op_of(name)(*args))
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True) as mode:
        args = torch.utils._pytree.tree_map_only(
            torch.Tensor, mode.from_tensor, sample_inputs(name, device)
        )
        assert described(op_of(name)(*args)) == real


@pytest.mark.parametrize("name", OPS)
def test_exactly_the_declared_tensors_change_and_count_it(name, device):
    args = sample_inputs(name, device)
    declared = {id(tensor) for tensor in mutated(name, args)}
    before = [
        (tensor, tensor._version, tensor.clone())
        for tensor in tensors_in(args)
        if torch.is_tensor(tensor)
    ]
    op_of(name)(*args)
    for tensor, version, values in before:
        assert (tensor._version > version) == (id(tensor) in declared)
        if id(tensor) not in declared:
            assert torch.equal(tensor, values)
    assert bool(declared) == name.endswith("_") or name == "allocate_growth"


@pytest.mark.parametrize("name", [name for name in OPS if "weights" in OPS[name].signature])
def test_without_zero_the_weights_version_stays(name, device):
    args = sample_inputs(name, device)
    position = [a.name for a in op_of(name)._schema.arguments].index("zero")
    args[position] = False
    versions = [weight._version for weight in args[0]]
    op_of(name)(*args)
    assert [weight._version for weight in args[0]] == versions
    assert args[1]._version > 0


@pytest.mark.parametrize(
    "name",
    [
        "apply_mask_",
        "mask_and_count_",
        "prune_threshold_",
        "prune_smallest_",
        "reset_state_",
        "add_noise_",
        "prune_sign_flips_",
    ],
)
def test_a_change_between_forward_and_backward_is_an_error(name, device):
    args = sample_inputs(name, device)
    weight = args[0][0].requires_grad_()
    loss = (weight * weight).sum()
    with torch.no_grad():
        op_of(name)(*args)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_an_unknown_op_has_no_sample():
    with pytest.raises(ValueError, match="op: expected one of apply_mask_"):
        sample_inputs("prune_everything_")
