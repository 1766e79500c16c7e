"""CUDA, Triton and reference give the same bits, in every awkward case and every time."""

import pytest
import torch
from generated_calls import CALLS, generated
from modes import scaled
from native_cases import check_backends

import dsr_kernels
from dsr_kernels.schema import OPS

CASES = 200


def kernels(op):
    return [name for name in ("cuda", "triton") if name in OPS[op].backends]


@pytest.mark.parametrize("op", CALLS)
def test_every_kernel_equals_the_reference(op, device):
    for case, call in generated(op, scaled(CASES), seed=2, large=2):
        check_backends(case, call, kernels(op), device=device)


@pytest.mark.parametrize("op", CALLS)
def test_two_runs_are_equal(op, device):
    for case, call in generated(op, scaled(CASES) // 4, seed=3, large=1):
        for name in kernels(op):
            results = []
            for _ in range(2):
                copy = case.copy(device)
                with dsr_kernels.backend(name):
                    outputs = call(copy)
                results.append(everything(copy, outputs))
            assert same(*results), (name, case)


@pytest.mark.parametrize("op", CALLS)
def test_two_streams_do_not_disturb_each_other(op, device):
    """Two masks at once: what kernels keep between calls belongs to one of them."""
    pairs = list(generated(op, 8, seed=4, large=2))
    for name in kernels(op):
        alone = [run(name, case.copy(device), call) for case, call in pairs]
        torch.cuda.synchronize()
        streams = [torch.cuda.Stream() for _ in range(2)]
        copies = [[case.copy(device) for case, _ in pairs] for _ in streams]
        torch.cuda.synchronize()
        together = [[] for _ in streams]
        for i, (_, call) in enumerate(pairs):
            for stream, mine, results in zip(streams, copies, together, strict=True):
                with torch.cuda.stream(stream):
                    results.append(run(name, mine[i], call))
        torch.cuda.synchronize()
        for results in together:
            assert all(same(a, b) for a, b in zip(results, alone, strict=True)), name


@pytest.mark.parametrize("op", ["kth_magnitude", "layer_mean"])
def test_an_op_that_only_reads_a_mask_may_do_so_on_several_streams(op, device):
    case, call = next(iter(generated(op, 2, seed=5, large=1)))
    copy = case.copy(device)
    for name in kernels(op):
        alone = run(name, copy, call)
        torch.cuda.synchronize()
        results = []
        for _ in range(4):
            with torch.cuda.stream(torch.cuda.Stream()):
                results.append(run(name, copy, call))
        torch.cuda.synchronize()
        assert all(same(result, alone) for result in results), name


def run(name, copy, call):
    with dsr_kernels.backend(name):
        return everything(copy, call(copy))


def everything(case, outputs):
    if not isinstance(outputs, tuple):
        outputs = () if outputs is None else (outputs,)
    return [*outputs, *case.buffers, case.mask.words, case.previous.words]


def same(first, second):
    pairs = zip(first, second, strict=True)
    return all(torch.equal(a.view(torch.uint8), b.view(torch.uint8)) for a, b in pairs)
