"""Every public op inside torch.compile: no graph break, the same bits, the changes seen."""

import pytest
import torch
from public_calls import CALLS, Net

import dsr_kernels
from dsr_kernels.schema import OPS


def as_list(outputs):
    return [] if outputs is None else [outputs] if torch.is_tensor(outputs) else list(outputs)


def test_every_op_is_here():
    assert set(CALLS) == set(OPS)


@pytest.mark.parametrize("compiler", ["aot_eager", "inductor"])
@pytest.mark.parametrize("name", CALLS)
def test_compiled_equals_eager(name, compiler, device):
    eager, compiled = Net(device), Net(device)
    torch._dynamo.reset()
    expected = as_list(CALLS[name](eager))
    function = torch.compile(CALLS[name], backend=compiler, fullgraph=True)
    outputs = as_list(function(compiled))
    assert len(outputs) == len(expected)
    for one, other in zip([*outputs, *compiled.state()], [*expected, *eager.state()], strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("compiler", ["aot_eager", "inductor"])
def test_arithmetic_around_a_mutation_keeps_its_order(compiler, device):
    """A value read before pruning is the old one, a value read after it the new one."""

    def step(net):
        before = net.tensors[0].sum()
        pruned, _, _ = dsr_kernels.prune_threshold_(net.tensors, net.mask, net.threshold)
        grown = dsr_kernels.grow_random_(
            net.mask, net.previous, pruned, seed=1, reallocation=net.number
        )
        dsr_kernels.apply_mask_(net.tensors, net.mask)
        return before, net.tensors[0].sum(), pruned, grown

    torch._dynamo.reset()
    eager, compiled = Net(device), Net(device)
    expected = step(eager)
    outputs = torch.compile(step, backend=compiler, fullgraph=True)(compiled)
    torch.testing.assert_close(outputs[:2], expected[:2])
    assert outputs[0] != outputs[1]
    for one, other in zip(
        [*outputs[2:], *compiled.state()], [*expected[2:], *eager.state()], strict=True
    ):
        assert torch.equal(one, other)


def test_the_next_reallocation_does_not_compile_again(device):
    torch._dynamo.reset()
    compiles = []

    def counting(graph, _):
        compiles.append(graph)
        return graph.forward

    def grow(net):
        return dsr_kernels.grow_random_(
            net.mask, net.previous, net.counts, seed=1, reallocation=net.number
        )

    compiled = torch.compile(grow, backend=counting, fullgraph=True)
    draws = set()
    for number in range(5):
        net, eager = Net(device), Net(device)
        net.number.fill_(number)
        eager.number.fill_(number)
        grow(eager)
        compiled(net)
        assert torch.equal(net.mask.words, eager.mask.words)
        draws.add(tuple(net.mask.words.tolist()))
    assert len(draws) == 5
    assert len(compiles) == 1
