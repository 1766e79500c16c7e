"""Every way to do an op's work that the benchmarks time does that work."""

from pathlib import Path

import numpy as np
import pytest
import torch

import dsr_kernels
from benchmarks.baselines import authors, grow, step
from benchmarks.case import KINDS, WrongResultError
from benchmarks.registry import OPS
from benchmarks.shapes import NETS, Net, net
from dsr_kernels.schema import OPS as SCHEMAS

ROOT = Path(__file__).parent.parent
TINY = Net("tiny", (4000, 33, 9000, 1024), (40, 3, 90, 32), moved=60)
SEQUENCES = {"dsr_step", "checkpoint_save", "checkpoint_load"}
PRODUCTS = {"masked_linear", "masked_conv2d", "packed_linear"}
# Their result is returned, so putting their arguments back does not undo it.
RETURNED = {"allocate_growth", "kth_magnitude", "layer_mean", "checkpoint_save", "checkpoint_load"}
RETURNED |= PRODUCTS | {"pack", "unpack", "mask_and_count_"}


@pytest.fixture(autouse=True)
def without_compiling(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def build(op, device):
    torch.manual_seed(0)
    np.random.seed(0)
    return OPS[op].build(TINY, 0.9, device)


def test_every_op_has_a_case():
    assert set(OPS) - SEQUENCES == set(SCHEMAS)
    files = {path.stem for path in (ROOT / "benchmarks/cases").glob("*.py")}
    assert files == {op.stem for op in SCHEMAS.values()} | {"dsr_step", "checkpoint"}


@pytest.mark.parametrize("op", OPS)
def test_every_provider_does_the_work_again_and_again(op, device):
    case = build(op, device)
    assert (case.op, case.net, case.sparsity) == (op, "tiny", 0.9)
    for provider in case.providers:
        for _ in range(3):
            result = provider.run()
            if provider.check is not None:
                provider.check(result)
            if provider.restore is not None:
                provider.restore()


@pytest.mark.parametrize("op", [op for op in OPS if op not in RETURNED])
def test_work_not_done_is_noticed(op, device):
    for provider in build(op, device).providers:
        if provider.kind in ("copy", "dense"):
            continue
        result = provider.run()
        provider.restore()
        with pytest.raises(WrongResultError):
            provider.check(result)


@pytest.mark.parametrize(
    "op", ["allocate_growth", "kth_magnitude", "layer_mean", "mask_and_count_"]
)
def test_a_wrong_result_is_noticed(op, device):
    for provider in build(op, device).providers[1:-1]:
        result = provider.run()
        with pytest.raises(WrongResultError):
            provider.check(result.flip(0) if result.dim() else result + 1)


@pytest.mark.parametrize("op", sorted(PRODUCTS))
def test_a_product_that_is_off_is_noticed(op, device):
    case = build(op, device)
    result = case.providers[0].run()
    for wrong in range(3):
        results = list(result)
        results[wrong] = results[wrong] * 1.01
        with pytest.raises(WrongResultError, match="layer 0: off by"):
            case.providers[0].check(results)


@pytest.mark.parametrize("op", OPS)
def test_cases_are_complete(op):
    providers = build(op, torch.device("cpu")).providers
    names = [provider.name for provider in providers]
    kinds = [provider.kind for provider in providers]
    assert len(set(names)) == len(names)
    assert set(kinds) <= set(KINDS)
    assert (kinds[0], kinds[-1], kinds.count("copy")) == ("ours", "copy", 1)
    assert all(target.against in (*names, *kinds) for target in OPS[op].targets)
    for provider in providers:
        assert provider.check is not None or provider.kind in ("copy", "dense")


@pytest.mark.parametrize(
    ("name", "layers", "weights"),
    [("lenet-300-100", 3, 266_200), ("wrn-28-2", 24, 1_451_520), ("resnet50", 54, 25_502_912)],
)
def test_nets_have_the_papers_sizes(name, layers, weights):
    assert (len(net(name).sizes), net(name).weights) == (layers, weights)
    assert name in NETS


def test_the_eager_split_is_that_of_allocate_growth():
    random = np.random.default_rng(0)
    for _ in range(200):
        layers = int(random.integers(1, 9))
        room = random.integers(0, 40, layers)
        shares = random.integers(0, 100, layers) * random.integers(0, 2, layers)
        total = int(random.integers(0, room.sum() + 1))
        pruned = np.zeros(layers, dtype=np.int64)
        pruned[0] = total
        expected = dsr_kernels.allocate_growth(*map(torch.from_numpy, (pruned, shares, room)))
        split = step.largest_remainder(total, shares, room)
        assert split.tolist() == expected.tolist()


def test_rejection_in_one_buffer_is_uniform():
    torch.manual_seed(0)
    layers, units, wanted = 2000, 8, 2
    occupied = torch.zeros(layers, units, dtype=torch.bool)
    occupied[:, 3] = True
    flags = torch.zeros(layers * units, dtype=torch.bool)
    sampler = grow.FlatRejection([units] * layers, torch.device("cpu"))
    counts = torch.full((layers,), wanted)
    places = sampler.grow(occupied.view(-1), flags, counts, torch.full((layers,), units - 1))
    grown = flags.view(layers, units)
    assert len(places) == int(grown.sum()) == layers * wanted
    assert (grown.sum(1) == wanted).all()
    free = grown[:, [0, 1, 2, 4, 5, 6, 7]].sum(0) / layers
    deviation = (2 / 7 * 5 / 7 / layers) ** 0.5
    assert (free - 2 / 7).abs().max() < 4 * deviation
    assert not grown[:, 3].any()


def test_rejection_in_one_buffer_ends_where_every_free_place_grows():
    torch.manual_seed(0)
    occupied = torch.rand(500) < 0.5
    flags, free = torch.zeros(500, dtype=torch.bool), 500 - occupied.sum().view(1)
    grow.FlatRejection([500], torch.device("cpu")).grow(occupied, flags, free, free)
    assert torch.equal(flags, ~occupied)


def test_the_authors_way_keeps_the_number_of_weights():
    np.random.seed(0)
    torch.manual_seed(0)
    masks = [(torch.rand(n) < 0.1).float() for n in (500, 3000)]
    weights = [torch.randn(len(mask)) * mask for mask in masks]
    before = sum(int(mask.sum()) for mask in masks)
    h, moved = authors.reallocate(weights, masks, 0.2, target=20)
    assert sum(int(mask.sum()) for mask in masks) == before
    assert h == 0.1
    assert moved > 22
    assert all(not weight[mask == 0].any() for weight, mask in zip(weights, masks, strict=True))
