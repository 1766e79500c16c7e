"""Whole reallocations on a GPU: no wait for the device, few launches, and CUDA graphs of them."""

import pytest
import torch
from reallocation_steps import STEPS, Net, dsr_ops

import dsr_kernels
from dsr_kernels.schema import OPS
from dsr_kernels.testing import sample_inputs

KERNELS = ("cuda", "triton")
REALLOCATING = [op for op in OPS.values() if "cpu" in op.backends]
STEP_KERNELS = [name for name in KERNELS if all(name in op.backends for op in REALLOCATING)]
RESNET50 = (9408, *(36864, 16384) * 8, *(147456, 65536) * 10, *(589824, 262144) * 12, 2048000)


def same_tensors(first, second):
    pairs = zip(first.tensors(), second.tensors(), strict=True)
    return all(torch.equal(a.view(torch.uint8), b.view(torch.uint8)) for a, b in pairs)


def warmed_up(net, name):
    """Run one step and undo it: kernels are loaded and tables made before a capture."""
    kept = [tensor.clone() for tensor in net.tensors()]
    STEPS[name](net)
    for tensor, before in zip(net.tensors(), kept, strict=True):
        tensor.copy_(before)
    torch.cuda.synchronize()
    return net


@pytest.mark.parametrize("backend_name", STEP_KERNELS)
@pytest.mark.parametrize("name", STEPS)
def test_a_graph_replayed_a_hundred_times_equals_eager(name, backend_name, device):
    with dsr_kernels.backend(backend_name):
        eager, replayed = Net(device), warmed_up(Net(device), name)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            STEPS[name](replayed)
        thresholds = set()
        for number in range(100):
            eager.train()
            replayed.train()
            STEPS[name](eager)
            graph.replay()
            if number % 10 == 9:
                assert same_tensors(eager, replayed), number
            thresholds.add(eager.threshold.item())
    assert len(thresholds) > 3 or name != "dsr"


@pytest.mark.parametrize("backend_name", STEP_KERNELS)
@pytest.mark.parametrize("name", STEPS)
def test_steps_on_a_gpu_equal_the_reference_on_a_cpu(name, backend_name, device):
    there, here = Net(device), Net("cpu")
    for number in range(5):
        for net, backend in ((there, backend_name), (here, "reference")):
            with dsr_kernels.backend(backend):
                net.train()
                STEPS[name](net)
        for a, b in zip(there.tensors(), here.tensors(), strict=True):
            assert torch.equal(a.cpu().view(torch.uint8), b.view(torch.uint8)), number


@pytest.mark.parametrize("backend_name", STEP_KERNELS)
@pytest.mark.parametrize("name", STEPS)
def test_a_step_never_waits(name, backend_name, device, request):
    with dsr_kernels.backend(backend_name):
        net = warmed_up(Net(device), name)
        request.getfixturevalue("no_waits")
        for _ in range(3):
            STEPS[name](net)


@pytest.mark.parametrize(
    ("op", "backend_name"),
    [(op.name, name) for op in OPS.values() for name in KERNELS if name in op.backends],
)
def test_an_op_never_waits(op, backend_name, device, request):
    run = getattr(torch.ops.dsr_kernels, op)
    with dsr_kernels.backend(backend_name):
        arguments = sample_inputs(op, device)
        run(*arguments)
        request.getfixturevalue("no_waits")
        run(*arguments)


def test_a_wait_would_be_noticed(no_waits, device):
    with pytest.raises(RuntimeError, match="synchroniz"):
        torch.ones(3, device=device).sum().item()


@pytest.mark.parametrize("backend_name", STEP_KERNELS)
def test_a_dsr_step_of_resnet50_is_at_most_four_launches(backend_name, device):
    with dsr_kernels.backend(backend_name):
        net = warmed_up(Net(device, RESNET50), "dsr")
        net.begin()
        torch.cuda.synchronize()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            dsr_ops(net)
            torch.cuda.synchronize()
    on_gpu = torch.autograd.DeviceType.CUDA
    launched = [event.name for event in profile.events() if event.device_type == on_gpu]
    assert 1 <= len(launched) <= 4, launched
