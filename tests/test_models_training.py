"""Shapes, initial weights, refusals and a sparse training step of the papers' models."""

import pytest
import torch
from torch import nn

import dsr
from dsr.models import lenet5, resnet50, sparse_layers, wide_resnet

SMALL = {
    "wide_resnet": (lambda **kw: wide_resnet(10, 0.5, **kw), (2, 3, 8, 8)),
    "resnet50": (lambda **kw: resnet50(width=0.1, **kw), (2, 3, 32, 32)),
    "resnet50-pre": (
        lambda **kw: resnet50(width=0.1, preactivation=True, **kw),
        (2, 3, 32, 32),
    ),
    "lenet5": (lenet5, (2, 1, 28, 28)),
    "lenet5-16": (lambda **kw: lenet5(input_size=16, channels=3, **kw), (2, 3, 16, 16)),
    "lenet5-33": (lambda **kw: lenet5(input_size=33, **kw), (2, 1, 33, 33)),
}


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks gain nothing from threads, and lose much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", SMALL)
def test_images_give_logits(name):
    build, shape = SMALL[name]
    assert build(classes=7)(torch.zeros(shape)).shape == (shape[0], 7)


def test_wide_resnet_halves_the_image_twice_and_averages_the_last_map():
    model, maps = wide_resnet(10, 0.5).eval(), []
    for group in (model.group1, model.group2, model.group3):
        group.register_forward_hook(lambda m, i, output: maps.append(output))
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    logits = model(x)
    assert [tuple(m.shape[1:]) for m in maps] == [(8, 32, 32), (16, 16, 16), (32, 8, 8)]
    last = torch.relu(model.bn(maps[-1]))
    torch.testing.assert_close(logits, model.fc(nn.functional.avg_pool2d(last, 8).flatten(1)))


def test_wide_block_shortcut_reads_the_activated_input():
    torch.manual_seed(0)
    block = wide_resnet(10, 2).group2[0].eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(1, 32, 8, 8)
    torch.testing.assert_close(block(x), block.shortcut(torch.relu(block.bn1(x))))


def test_wide_block_without_a_shortcut_keeps_its_raw_input():
    block = wide_resnet(16, 1).group1[1].eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("preactivation", [False, True])
def test_bottleneck_activates_the_sum_or_leaves_it(preactivation):
    block = resnet50(width=0.1, preactivation=preactivation).layer1[1].eval()
    nn.init.zeros_(block.conv3.weight)
    x = torch.randn(1, 24, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(x), x if preactivation else x.relu())


def test_dropout_sits_between_the_convolutions_and_acts_in_training_only():
    torch.manual_seed(0)
    model = wide_resnet(10, 1, dropout=0.3)
    x = torch.randn(2, 3, 8, 8)
    assert {m.p for m in model.modules() if isinstance(m, nn.Dropout)} == {0.3}
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize("preactivation", [None, False, True])
def test_initial_weights_are_those_of_the_authors(preactivation):
    torch.manual_seed(0)
    model = (
        wide_resnet(16, 2)
        if preactivation is None
        else resnet50(width=0.5, preactivation=preactivation)
    )
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            weight, out = module.weight, module.out_channels
            expected = (2 / (module.kernel_size[0] ** 2 * out)) ** 0.5
            # Six standard errors of a standard deviation and of a mean.
            slack = 6 / weight.numel() ** 0.5
            assert abs(weight.std().item() / expected - 1) < slack, name
            assert abs(weight.mean().item()) < slack * expected, name
        elif isinstance(module, nn.BatchNorm2d):
            assert bool((module.weight == 1).all() and (module.bias == 0).all()), name
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            assert 0.9 * bound < module.weight.abs().max().item() <= bound
            assert not module.bias.any()


@pytest.mark.parametrize(
    ("build", "shape", "budget"),
    [
        # 11 more than a tenth of 1,451,520: each of the 24 tensors rounds up.
        (lambda: wide_resnet(28, 2), (4, 3, 8, 8), 145_163),
        (resnet50, (2, 3, 32, 32), 2_272_485),
    ],
    ids=["wide_resnet-28-2", "resnet50"],
)
def test_a_sparse_training_step(build, shape, budget):
    torch.manual_seed(0)
    model = build()
    sparse = dsr.sparsify(
        model, dsr.DSR(sparsity=0.9, period=1, stop=None), include=sparse_layers(model)
    )
    assert list(sparse.masks()) == sparse_layers(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparse.attach(optimizer)
    before = model.conv1.weight.detach().clone()
    loss = nn.functional.cross_entropy(model(torch.randn(shape)), torch.arange(shape[0]))
    loss.backward()
    optimizer.step()
    stats = sparse.stats()
    assert torch.isfinite(loss)
    assert (stats.reallocations, stats.active) == (1, budget)
    assert stats.grown == stats.pruned > 0
    assert not torch.equal(model.conv1.weight, before)
    parameters = dict(model.named_parameters())
    for name, mask in sparse.masks().items():
        assert not parameters[name].detach()[~mask].any(), name


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: wide_resnet(20, 2), ValueError, "depth: expected 6 n"),
        (lambda: wide_resnet(4, 2), ValueError, "depth: expected at least 10, got 4"),
        (lambda: wide_resnet(28.0, 2), TypeError, "depth: expected an int, got 28.0"),
        (lambda: wide_resnet(28, 0), ValueError, "width: expected a finite number"),
        (lambda: wide_resnet(28, float("nan")), ValueError, "width: .* got nan"),
        (lambda: wide_resnet(28, 2, classes=0), ValueError, "classes: expected at least 1"),
        (lambda: wide_resnet(28, 2, dropout=1.0), ValueError, "dropout: expected a prob"),
        (lambda: resnet50(classes=True), TypeError, "classes: expected an int, got True"),
        (lambda: resnet50(width=-1), ValueError, "width: expected a finite number"),
        (lambda: lenet5(input_size=15), ValueError, "input_size: expected at least 16"),
        (lambda: lenet5(channels=0), ValueError, "channels: expected at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_refused_by_name(call, error, message):
    with torch.device("meta"), pytest.raises(error, match=f"^{message}"):
        call()
