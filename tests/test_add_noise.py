"""add_noise_ on every backend: against the oracle, and what no noise may touch."""

import oracle_noise
import pytest
import torch
from op_cases import Case, same_values, seeds

import dsr_kernels
from dsr_kernels import BitMask, LayerShape, Purpose, SparseLayout, add_noise_

OP = "add_noise_"
SCALES = (0.0, 1e-42, 1e-3, 0.5, 1.0, 3e38)


@pytest.mark.parametrize("block", range(4))
def test_random_cases_against_the_oracle(block, backend, device):
    for number in seeds(block):
        case = Case(number, device)
        tensors, mask, rng = case.tensors(), case.mask(), case.rng
        scale = [rng.choice(SCALES) for _ in case.layers]
        seed = rng.choice((0, 2**64 - 1, rng.getrandbits(64)))
        counter, purpose = rng.choice((0, 5, 2**32 + 3, -1)), rng.choice((2, 0, 2**15 - 1))
        with dsr_kernels.backend(backend):
            add_noise_(
                tensors,
                mask,
                torch.tensor(scale, dtype=torch.float32, device=device),
                seed=seed,
                counter=case.int64([counter]),
                purpose=purpose,
            )
        dtype = str(case.dtype).removeprefix("torch.")
        oracle_noise.add_noise(case.layers, scale, seed, counter, purpose, dtype)
        assert same_values(tensors, case.layers), number
        assert case.canaries.intact(), number


def noisy(device, size=64, layer_count=1, **changes):
    """Zeros plus noise of scale 1, one tensor a layer."""
    mask = BitMask.ones(SparseLayout.of_elements([size] * layer_count), device)
    tensors = [torch.zeros(size, device=device) for _ in range(layer_count)]
    arguments = {"seed": 1, "counter": torch.tensor([0], device=device)} | changes
    add_noise_(tensors, mask, torch.ones(layer_count, device=device), **arguments)
    return tensors


def test_every_part_of_the_counter_changes_the_noise(backend, device):
    with dsr_kernels.backend(backend):
        first, second = noisy(device, layer_count=2)
        others = [
            *noisy(device, seed=2),
            *noisy(device, counter=torch.tensor([1], device=device)),
            *noisy(device, purpose=Purpose.NEW_WEIGHT),
            second,
        ]
        again = noisy(device)[0]
    assert torch.equal(first, again)
    for other in others:
        assert not (first == other).any()


def test_two_tensors_of_a_layer_get_the_same(backend, device):
    layout = SparseLayout.of_elements([40, 9])
    mask = BitMask.ones(layout, device)
    tensors = [torch.zeros(size, device=device) for size in (9, 40, 9)]
    tensors[2] += 1
    scale, counter = torch.tensor([1.0, 0.5], device=device), torch.tensor([0], device=device)
    with dsr_kernels.backend(backend):
        add_noise_(tensors, mask, scale, seed=3, counter=counter, layers=[1, 0, 1])
        add_noise_([], mask, scale, seed=3, counter=counter, layers=[])
    torch.testing.assert_close(tensors[0] + 1, tensors[2])
    assert tensors[1].abs().max() > tensors[0].abs().max()


def test_inactive_units_and_nan_keep_their_bits_and_inf_stays(backend, device):
    layout = SparseLayout((LayerShape(2, 3, 2),))
    bits = torch.tensor([True, False, False, True])
    mask = BitMask.from_bools(layout, [bits]).to(device)
    values = torch.tensor([float("nan"), float("nan"), -0.0, float("inf")] * 3).to(device)
    before = values.clone()
    with dsr_kernels.backend(backend):
        counter = torch.tensor([0], device=device)
        add_noise_([values], mask, torch.ones(1, device=device), seed=0, counter=counter)
    active = mask.to_elements()[0].cpu()
    same = (values.view(torch.int32) == before.view(torch.int32)).cpu()
    assert torch.equal(same, ~active | before.isnan().cpu() | before.isinf().cpu())


def test_noise_does_not_depend_on_the_dtype(backend, device):
    with dsr_kernels.backend(backend):
        exact = noisy(device, size=1000)[0]
        for dtype in (torch.bfloat16, torch.float16):
            tensor = torch.zeros(1000, dtype=dtype, device=device)
            mask = BitMask.ones(SparseLayout.of_elements([1000]), device)
            counter = torch.tensor([0], device=device)
            add_noise_([tensor], mask, torch.ones(1, device=device), seed=1, counter=counter)
            assert torch.equal(tensor, exact.to(dtype))
