"""Models of other libraries train sparse without a change to them.

These libraries are no dependency: each test is skipped by name where its library is missing.
"""

import pytest
import torch
from torch import nn

import dsr
from dsr.models import resnet50

METHOD = dsr.DSR(sparsity=0.8, period=1, stop=None)
IMAGES = (2, 3, 32, 32)
TOKENS = torch.arange(12).reshape(2, 6)


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks gain nothing from threads, and lose much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def library(name):
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install {name}")


def train_one_step(model, loss_of, **options):
    """One step that moves units; returns the sparsifier after checking what it promises."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparse = dsr.sparsify(model, METHOD, optimizer=optimizer, **options)
    loss = loss_of(model)
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    assert sparse.stats().reallocations == 1
    assert sparse.stats().active == sparse.budget
    parameters = dict(model.named_parameters())
    for name, mask in sparse.masks().items():
        assert not parameters[name].detach()[~mask].any(), name
    return sparse


def image_loss(model):
    return nn.functional.cross_entropy(model(torch.randn(IMAGES)), torch.tensor([0, 1]))


def token_loss(model):
    return model(input_ids=TOKENS, labels=TOKENS).loss


def test_torchvision_resnet18():
    models = library("torchvision").models
    sparse = train_one_step(models.resnet18(num_classes=4), image_loss)
    convolutions_after_the_first = 19
    assert len(sparse.masks()) == convolutions_after_the_first + 1
    assert "conv1.weight" not in sparse.masks()


def test_weights_of_torchvision_resnet50_fit_ours():
    theirs, ours = library("torchvision").models.resnet50().eval(), resnet50().eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(IMAGES)
    torch.testing.assert_close(ours(x), theirs(x))


def test_timm_vision_transformer():
    model = library("timm").create_model(
        "vit_tiny_patch16_224",
        img_size=32,
        patch_size=8,
        embed_dim=48,
        depth=2,
        num_heads=3,
        num_classes=4,
    )
    sparse = train_one_step(model, image_loss)
    linear = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    expected = [f"blocks.{i}.{name}.weight" for i in range(2) for name in linear]
    assert list(sparse.masks()) == [*expected, "head.weight"]


def test_transformers_llama_leaves_the_tied_output_dense():
    transformers = library("transformers")
    config = transformers.LlamaConfig(
        vocab_size=32,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    sparse = train_one_step(transformers.LlamaForCausalLM(config), token_loss)
    projections = 7  # query, key, value, output, gate, up, down
    assert len(sparse.masks()) == projections * config.num_hidden_layers
    assert not any("lm_head" in name or "embed" in name for name in sparse.masks())


def test_transformers_gpt2_with_its_own_layer_type_included():
    transformers = library("transformers")
    config = transformers.GPT2Config(vocab_size=32, n_positions=8, n_embd=32, n_layer=2, n_head=4)
    model = transformers.GPT2LMHeadModel(config)
    sparse = train_one_step(model, token_loss, include=transformers.pytorch_utils.Conv1D)
    names = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert list(sparse.masks()) == [
        f"transformer.h.{i}.{name}.weight" for i in range(2) for name in names
    ]
